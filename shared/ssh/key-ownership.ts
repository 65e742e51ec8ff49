/** What somebody signs to show that a public key is theirs; whoever makes the proof and whoever checks it must agree on it. */

/** `ssh-keygen -Y sign -n`: a signature for this is good for nothing else. */
export const PROOF_NAMESPACE = 'sallyport';

/** @param name as the control plane calls the person. @returns one line: good for nobody else. */
export function ownershipStatement(name: string): string {
  return `sallyport ssh-key of ${name}\n`;
}
