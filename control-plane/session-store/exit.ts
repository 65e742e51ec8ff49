/**
 * Ends the process without the C library's exit handlers: those of the engine's library crash when they run while it has threads.
 * Nothing is lost by it. What the engine has acknowledged is on the disk, and standard output to a pipe or file is written at once.
 */

/** Ends the process with this exit code, now. */
export async function endProcess(code: number): Promise<never> {
  // Loading node:ffi warns that it is experimental, which nobody needs to read at this moment.
  process.removeAllListeners('warning');
  const { DynamicLibrary } = await import('node:ffi');
  new DynamicLibrary(null).getFunction('_exit', { return: 'void', arguments: ['i32'] })(code);
  throw new Error('_exit returned');
}
