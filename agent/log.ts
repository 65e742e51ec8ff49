/** What the agent's parts need of a logger; pino fits. Values are names, numbers and error texts, never tokens or credentials. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
