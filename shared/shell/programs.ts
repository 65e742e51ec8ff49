/**
 * What common programs do with their words: which are paths that they read or write, which options take a value, which of
 * these run something. One line a program; the manuals (GNU coreutils 9, util-linux 2.38, OpenSSH 9, Debian 12) are the source.
 * What is not here may read and write everything its words name.
 *
 * The first word says what operands are: `none` no paths · `list` folders whose names are shown · `read` · `write` · `both` ·
 * `copy` the last is written, the others read · `link` the same, and the others may be written through it. Then, after `;`:
 * `values`/`long` options that take a value · `skip N unless …` operands before the paths, unless these options are given ·
 * `reads`/`writes`/`boths` options whose value is a path · `tree …` with these flags (or always) all below as well ·
 * `fed …` options by which a list says what is read · `inplace …` flags with which operands are written too · `runs …` options whose value is a command line ·
 * `opaque …` options that run what cannot be told (`*` always) · `is …` privileges · `connect`/`listen`/`tunnel`.
 */
import type { Privilege } from './facts.ts';
import { constant } from './glob.ts';
import type { OptionTable } from './options.ts';
import { type Field, OPEN } from './words.ts';

const TABLE = `
cat|tac|nl|rev|od|hexdump|hd|strings|base32|base64|basenc|wc|sum|cksum|md5sum|sha1sum|sha224sum|sha256sum|sha384sum|sha512sum|b2sum|fold|fmt|expand|unexpand|paste|pr|column|zcat|bzcat|xzcat|zstdcat|readelf|objdump|nm|ldd|size|tsort|uuencode: read; values wbcsndtjNAeEvf; long width bytes; reads files0-from; fed files0-from
file: read; values mFPe; long magic-file separator parameter exclude; reads f files-from m magic-file; fed f files-from
head|tail: read; values ncs; long lines bytes sleep-interval pid
cut: read; values bcdf; long bytes characters delimiter fields output-delimiter
sort: read; values koStT; long key output buffer-size field-separator temporary-directory files0-from parallel batch-size; writes o output; boths T temporary-directory; reads files0-from; fed files0-from; runs compress-program
xxd: copy; values clsogn
uniq: copy; values fsw; long skip-fields skip-chars check-chars
comm|join|cmp|diff3|sdiff: read; values 1t2aeoj
diff: read; values UCIxXFWL; long exclude exclude-from label width context unified; reads X exclude-from from-file to-file; tree r recursive
tr|seq|yes|echo|printf|true|false|sleep|cal|uname|arch|hostname|whoami|id|groups|logname|tty|who|w|users|last|lastlog|uptime|nproc|free|vmstat|iostat|mpstat|sar|lscpu|lsblk|lsusb|lspci|lsmod|ps|pgrep|pidof|pstree|kill|killall|pkill|clear|reset|tput|stty|printenv|locale|getconf|basename|dirname|expr|factor|numfmt|test|[|which|whereis|whatis|apropos|type|hash|jobs|fg|bg|wait|times|ulimit|umask|history|logout|exit|return|break|continue|shift|cd|pushd|popd|dirs|pwd|stat|df|du|realpath|readlink|sync|mountpoint|findmnt|timedatectl|hostnamectl|localectl|loginctl|runlevel|lsof|fuser|netstat|route|ifconfig|iwconfig|ethtool|numastat|md5|lsns|lslocks|lsipc|ipcs|lsattr|getfacl|getfattr|getcap|tracepath|let|help|caller|suspend|disown|mesg|wall|mcookie|uuidgen|errno|units|namei|dircolors|figlet|cowsay|nvidia-smi|sensors|acpi|upower: none
look: read; values t; skip 1
ss|arp|dmesg: none; values KsnLDNfAHi; reads F f file
date: none; values dfr; reads f r file reference
ls|dir|vdir: list; values wITx; long width ignore hide time-style sort; tree R recursive
tree: list; values LPIo; writes o; tree
du: none; values Bdt; reads files0-from X exclude-from
grep|egrep|fgrep|zgrep: read; values efmABCdD; long regexp file max-count after-context before-context context directories devices include exclude exclude-from exclude-dir label binary-files color; skip 1 unless e f regexp file; reads f file exclude-from; tree rR recursive dereference-recursive
rg: read; values efmABCgtTEjMr; long regexp file max-count glob type pre pre-glob; skip 1 unless e f regexp file; reads f file; tree; runs --pre
jq|yq: read; values fL; long arg argjson slurpfile rawfile indent; reads f from-file; boths slurpfile rawfile
xmllint|csvcut|csvlook|hexyl|identify: read
cp|install: copy; values tSgmo; long target-directory suffix group mode owner; writes t target-directory; tree Rra recursive archive
mv: link; values tS; long target-directory suffix; writes t target-directory; tree
ln: link; values tS; long target-directory suffix; writes t target-directory; tree
link: link
rm: write; tree rR recursive
unlink|rmdir|mkdir|mkfifo|mknod|shred|tee|sponge|mktemp: write; values mZunsp; long mode context
touch: write; values drt; long date reference time; reads r reference
truncate: write; values srl; long size reference; reads r reference
fallocate: write; values loL
chmod: write; skip 1 unless reference; tree R recursive; long reference; reads reference
chown|chgrp: write; skip 1 unless reference; tree R recursive; long reference from; reads reference
chattr|setfattr|setfacl: write; skip 1; tree R recursive; values xmMXvn; reads M X
setcap: write; skip 1; is setuid
split: copy; values abClntu; long bytes lines number additional-suffix suffix-length; runs filter
csplit: read; values bfn
gzip|gunzip|bzip2|bunzip2|xz|unxz|lzma|zstd|unzstd|lz4|compress|uncompress: both; values STo0; tree r recursive; writes o output-dir-flat
dos2unix|unix2dos: both
curl: none
wget: none
nc|ncat|netcat|nc.traditional|nc.openbsd: none
telnet|tftp|whois|dig|host|nslookup|ping|ping6|traceroute|mtr|nmap|ab|siege|redis-cli|mongo|mongosh|ldapsearch|snmpwalk|smbclient|ntpdate|drill|fping|hping3: none; connect; reads f input-file; opaque script interactive eval
redis-server|mongod|mysqld|mariadbd|postgres|nginx|httpd|apache2|lighttpd|caddy|sshd|dropbear|vsftpd|proftpd|telnetd|in.telnetd|rsyncd|dnsmasq|named|squid|haproxy|slapd|smbd|xinetd|inetd|stunnel|stunnel4|ngrok|cloudflared|frpc|frps|chisel|gost|tinyproxy|microsocks|dante|webfsd|thttpd|darkhttpd|http-server|serve|gs-netcat|iperf|iperf3|minio|memcached|rinetd|redir|simpleproxy|tcpserver|udpsvd|tcpsvd|ttyd|gotty|websocketd|wetty|webhook|pagekite|bore|localtunnel|lt: both; listen
tailscale|wg|wg-quick|openvpn|autossh|sshuttle|pppd|vpnc|openconnect: both; tunnel; opaque --up down script-security e c
ssh-copy-id: none; values ipoF; reads i; connect
ssh-keyscan: none; values ftp; reads f; connect
ssh-keygen: none; values fCNtbPFRDIsVznOYwEmra; boths f R F; reads s w; opaque D w O
ssh-add: read; values tEsSe; opaque s
service: none
journalctl: none; values unDpSUgtof; long since until unit directory file grep; reads D file directory root; writes cursor-file
apt|apt-get|apt-cache|apt-mark|aptitude|dnf|yum|zypper|apk|pacman|brew|gem|composer: both; values t; opaque o option c config-file; tree
smartctl|hdparm|nvme: none
aria2c: both; connect; tree; opaque on-download-complete on-download-start on-download-stop on-download-error on-bt-download-complete i input-file conf-path S
hg|svn|bzr|cvs: both; connect; tree; opaque config config-option config-dir
dpkg-query|rpmquery|debconf-show|update-alternatives|dpkg-reconfigure: read; values Wfqp; opaque eval pipe admindir instdir root pre-invoke post-invoke E
useradd|userdel|usermod|groupadd|groupdel|groupmod|adduser|deluser|addgroup|delgroup|passwd|chpasswd|gpasswd|chage|chfn|chsh|newusers|pwconv|faillock: none; is account
insmod|kexec: both; is kernel; opaque *
modprobe|rmmod|kmod|depmod: both; is kernel; opaque C d config dirname
mount: both; values toLU; is kernel; tree
umount|swapon|swapoff|losetup|cryptsetup|mkfs|mke2fs|fdisk|parted|sfdisk|wipefs|blkdiscard|fsck|pivot_root|switch_root|lvm|lvremove|vgremove|pvremove|mdadm|tune2fs|debugfs|xfs_db: both; is kernel; tree
iptables|ip6iptables|ip6tables|nft|ufw|firewall-cmd|ipset|tc|brctl|setenforce|apparmor_parser|aa-complain|aa-disable|auditctl: both; is kernel
shutdown|reboot|halt|poweroff|init|telinit: none; is kernel
crontab: both; values u; opaque *
ftp|lftp: both; connect; opaque *
newgrp: none; opaque *
sftp-server|internal-sftp|rdiff-backup|unison|mosh-server|svnserve|git-shell: both; opaque *
at|batch: read; values qft; reads f; opaque *
gpg|gpg2: both; values oruk; writes o output; opaque exec-path
openssl: both
ed|ex|vi|vim|vimdiff|view|rvim|nvim|nano|rnano|pico|emacs|emacsclient|joe|jed|mcedit|micro|helix|hx|kak|ne|sudoedit|ghc|anacron: both; opaque *
vipw|vigr|visudo: none; is account; opaque *
gdb|lldb|dc|m4|expect|tclsh|wish|mc|ranger|nnn|screen|byobu|dtach|abduco|zellij|mutt|mail|mailx|irssi|weechat|w3m|lynx|elinks|links|socket|tshark|scanmem|octave|gnuplot|bconsole|ansible-console|ghci|runghc|runhaskell|groovy|jshell|jrunscript|jjs|slsh|rlogin|rsh|rexec|run-mailcap|xdg-open|xterm|konsole|gnome-terminal|urxvt|cpan|rake|lxc|incus|machinectl|vagrant|ansible|puppet|salt|salt-call|chef-client|pexec|ginsh|gcore|genie|logrotate|run-parts|at-spi|start-stop-daemon|daemonize|supervisord|monit|inetutils-inetd|entr|watchexec|nodemon|reptyr|sqlplus|cobc|zathura|xdotool|tdbtool|pg_ctl|csvtool|facter|dmsetup|restic|rclone|nsjail|bwrap|firejail|proot|fakechroot|qemu-arm|qemu-aarch64|qemu-x86_64|wine|mono|dotnet|erl|elixir|iex|sbcl|clisp|gcl|ocaml|coqtop|swipl|gprolog|maxima|bpftrace|stap|perf: both; opaque *
tcpdump: none; values iwrcszZWGCFB; writes w; reads r F; opaque z
tmux: none; opaque *
cmake|meson|just|task|ant|mvn|gradle|gradlew|bazel|scons|tox|nox|pytest|cargo-make: both; values fCjoWIl; reads f file makefile; boths C directory; opaque eval P; tree
ninja: both; values fCjkld; boths C; opaque f
rustc|javac|tsc: both; values oIlLDUfmWgx; writes o; opaque wrapper B w
tsocks|update-initramfs|update-grub|ldconfig|locale-gen|systemd-tmpfiles: both; tree
less|more|most|pg: read; values bhjkoOpPtTxyz#; writes oO; opaque LOGFILE
psql|pgcli: none; values cdfhpUvLoFPRT; reads f file; writes o L output log-file; connect
mysql|mariadb|mysqldump|mysqladmin|pg_dump|pg_dumpall|pg_restore|createdb|dropdb: both; values ehpuPDSdUrFfjtnTN; writes r f result-file file; connect; opaque init-command
sqlite3: both; opaque init --cmd A
kubectl|oc|helm|k9s|stern: none; values nfoclLp; reads f filename kubeconfig; connect; opaque post-renderer
aws|gcloud|az|doctl|terraform|terragrunt|pulumi|vault|consul|nomad|gh|glab|s3cmd: both; connect
logger|wall: none; values fptin; reads f file
lp|lpr|enscript: read; values dPno
rsyslogd|auditd|cron|crond|atd|systemd: both; opaque *
htop|top|atop|iotop|iftop|nethogs|glances|btop|nmon|powertop|ncdu|dstat|slabtop|bmon: none; values dnpuUbiso
`;

/** Programs that run things, with the words with which they only tell something. */
const TELLING: ReadonlyMap<string, readonly RegExp[]> = new Map([
  ['ansible', [/^--version$/]],
  ['vim', [/^--version$/]],
  ['gdb', [/^--version$/]],
  ['crontab', [/^-l$/, /^-u [\w.-]+ -l$/, /^-l -u [\w.-]+$/]],
  ['tmux', [/^(?:ls|list-sessions|lsw|list-windows)$/, /^-V$/]],
  ['screen', [/^-(?:ls|list|v)$/]],
  ['nginx', [/^-[tTvV]$/]],
  ['npm', [/^(?:ls|list|outdated|audit|-v|--version)$/]],
  ['pip', [/^(?:list|freeze|check|--version|-V)$/, /^show [\w.-]+$/]],
  ['pip3', [/^(?:list|freeze|check|--version|-V)$/, /^show [\w.-]+$/]],
]);

/** Whether this call neither runs nor changes anything: it lists, or tests. */
export function onlyTells(name: string, words: readonly Field[]): boolean {
  const forms = TELLING.get(name);
  if (forms === undefined) return false;
  const texts = words.slice(1).map(word => (word === OPEN ? null : constant(word)));
  if (texts.includes(null) || texts.some(text => text?.includes(' '))) return false;
  return forms.some(form => form.test(texts.join(' ')));
}

export interface Program extends OptionTable {
  operands: 'none' | 'list' | 'read' | 'write' | 'both' | 'copy' | 'link';
  skip: number;
  skipUnless: readonly string[];
  reads: readonly string[];
  writes: readonly string[];
  boths: readonly string[];
  /** Flags with which all below is meant; null: never, []: always. */
  tree: readonly string[] | null;
  /** Options with which a list names paths. */
  fed: readonly string[];
  inplace: readonly string[];
  runs: readonly string[];
  opaque: readonly string[];
  is: readonly Privilege[];
  network: readonly ('listen' | 'connect' | 'tunnel')[];
}

/** `tree rR recursive`: a word of up to three letters is letters of short options; a long name so short has its dashes. */
function names(words: readonly string[]): string[] {
  return words.flatMap(word => (word.startsWith('--') ? [word.slice(2)] : word.length <= 3 ? word.split('') : [word]));
}

function parseLine(line: string): [string[], Program] {
  const colon = line.indexOf(': ');
  const [operands = 'both', ...clauses] = line
    .slice(colon + 2)
    .split(';')
    .map(each => each.trim());
  const clause = (name: string): string[] | null => {
    const found = clauses.find(each => each === name || each.startsWith(`${name} `));
    return found === undefined ? null : found.split(' ').slice(1);
  };
  const skip = clause('skip') ?? [];
  const of = (name: string): string[] => names(clause(name) ?? []);
  const options = [...of('reads'), ...of('writes'), ...of('boths'), ...of('runs')];
  const tree = clause('tree');
  return [
    line.slice(0, colon).split('|'),
    {
      operands: operands as Program['operands'],
      values: [...(clause('values') ?? []), ...options.filter(each => each.length === 1)].join(''),
      longValues: [...(clause('long') ?? []), ...options.filter(each => each.length > 1)],
      ordered: false,
      known: null,
      skip: Number(skip[0] ?? 0),
      skipUnless: skip.slice(2),
      reads: of('reads'),
      writes: of('writes'),
      boths: of('boths'),
      tree: tree === null ? null : names(tree),
      fed: of('fed'),
      inplace: of('inplace'),
      runs: of('runs'),
      opaque: clause('opaque')?.includes('*') ? ['*'] : of('opaque'),
      is: (clause('is') ?? []) as Privilege[],
      network: (['listen', 'connect', 'tunnel'] as const).filter(each => clause(each) !== null),
    },
  ];
}

const PROGRAMS = new Map<string, Program>(
  TABLE.trim()
    .split('\n')
    .map(parseLine)
    .flatMap(([all, program]) => all.map((name): [string, Program] => [name, program])),
);

/** @returns undefined for a program that nobody reviewed. */
export function programCalled(name: string): Program | undefined {
  return PROGRAMS.get(name);
}
