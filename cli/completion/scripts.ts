/** What shells load: each asks `sallyport __complete` for candidates and, where there are none, offers files. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

export const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# bash completion for sallyport:  source <(sallyport completion bash)
_sallyport() {
  local IFS=$'\\n'
  COMPREPLY=($(sallyport __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _sallyport sallyport`,
  zsh: `#compdef sallyport
# zsh completion for sallyport:  source <(sallyport completion zsh)
_sallyport() {
  local -a found
  found=("\${(@f)$(sallyport __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${found[1]}" ]]; then
    compadd -a found
  else
    _files
  fi
}
compdef _sallyport sallyport`,
  fish: `# fish completion for sallyport:  sallyport completion fish | source
function __sallyport_complete
  set -l words (commandline -opc)
  set -l found (sallyport __complete $words[2..-1] (commandline -ct) 2>/dev/null)
  if set -q found[1]
    string join -- \\n $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c sallyport -f -a '(__sallyport_complete)'`,
};
