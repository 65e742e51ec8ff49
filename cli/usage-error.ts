/** A command line that cannot be understood: exit code 2, where what is refused or fails gives 1. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}
