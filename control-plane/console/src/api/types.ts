/** The API's shapes, from the very schemas that it validates with. Types alone: nothing of the server comes into the bundle. */
import type * as schemas from '../../../http/schemas.ts';

export type Session = schemas.Session;
export type RecordedCommand = schemas.RecordedCommand;
export type Agent = schemas.Agent;
export type Resource = schemas.Resource;
export type CommandDetails = schemas.CommandDetails;
export type Answer = NonNullable<CommandDetails['answer']>;
