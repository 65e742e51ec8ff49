/**
 * What is known of a shell text: the facts that guards and conditions see and that records keep. Plain data; the written form
 * of words and paths is that of glob.ts, so that a fact that is not wholly known says what it may be.
 */
export interface ShellAnalysis {
  /** Every simple command that the text may run, wrappers themselves included. */
  readonly commands: readonly ShellCommand[];
  /** What cannot be known, and where. */
  readonly opaque: readonly { readonly reason: string; readonly text: string }[];
  /** Set when the text is not wholly understood: the reason. It is then not to be run. */
  readonly error?: string;
  /** With `error`: more lines would follow, as a shell would ask for. */
  readonly incomplete?: boolean;
  /** The folders, any of which the shell may be in afterwards; null: not known. Give them back for a terminal's next line. */
  readonly directories: readonly string[] | null;
}

export interface ShellCommand {
  /** The program's name without its folder; `**` where it is not known. */
  readonly program: string;
  /** As it was written, resolved: `/usr/bin/cat`. */
  readonly path: string;
  /** All words, the program first. */
  readonly argv: readonly string[];
  /** Any number of words may stand anywhere among the arguments. */
  readonly open: boolean;
  /** The programs that start it, outermost first: `sudo`, `xargs`. */
  readonly wrappers: readonly string[];
  readonly privilege: readonly Privilege[];
  readonly reads: readonly string[];
  readonly writes: readonly string[];
  readonly network: readonly NetworkUse[];
}

/** What a command takes part in, or changes, of who it is and what runs. */
export const PRIVILEGES = [
  'sudo', // sudo, and its like
  'su',
  'doas',
  'pkexec',
  'setuid', // makes a file that runs as its owner
  'root-shell', // a shell, or a program that gives one, as root
  'environment', // changes what programs load or run: PATH, LD_PRELOAD
  'container', // runs inside a container, or has power over them
  'namespace', // chroot, unshare, nsenter
  'account', // changes accounts or their rights
  'kernel', // modules, mounts, settings of the kernel
] as const;
export type Privilege = (typeof PRIVILEGES)[number];

export const NETWORK_KINDS = ['listen', 'connect', 'tunnel'] as const;
export interface NetworkUse {
  readonly kind: (typeof NETWORK_KINDS)[number];
  /** Host and port, as far as they are known: `example.org:443`, `**:8080`. */
  readonly address: string;
}

/** What a guard says of shell commands; all keys that it gives must hold for one command. */
export interface ShellMatch {
  /** Names of programs; with a `/` in it, paths as written. */
  programs?: string[];
  /** Of which one argument must match; the program itself is none. */
  arguments?: string[];
  reads?: string[];
  writes?: string[];
  network?: (typeof NETWORK_KINDS)[number][];
  privilege?: Privilege[];
  /** Whether the text is one that cannot be judged fully. */
  opaque?: boolean;
}
