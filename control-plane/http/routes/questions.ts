/** Auditors' questions: the catalogue, and asking one. Read-only; the answer says what each parameter was. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type Static, Type } from 'typebox';
import { answerRowsMax, questionParameters } from '../../questions/ask.ts';
import { findQuestion, QUESTIONS } from '../../questions/catalogue.ts';
import { PARAMETERS, type Question } from '../../questions/question.ts';
import type { ApiContext } from '../context.ts';
import * as schemas from '../schemas.ts';

const closed = { additionalProperties: false } as const;
const Parameter = Type.Object({ name: Type.String(), what: Type.String(), required: Type.Boolean(), absent: Type.String() });
const Chart = Type.Object({ kind: Type.Enum(['bar', 'line']), x: Type.String(), y: Type.String() });
const QuestionView = Type.Object({
  name: Type.String(),
  title: Type.String(),
  description: Type.String(),
  controls: Type.Record(Type.String(), Type.Array(Type.String()), { description: 'Framework → its controls that the answer speaks to.' }),
  parameters: Type.Array(Parameter),
  emptyIsGood: Type.Boolean({ description: 'Rows are findings.' }),
  chart: Type.Union([Chart, Type.Null()]),
});
const AskRequest = Type.Object(
  {
    parameters: Type.Optional(Type.Record(Type.String({ maxLength: 32 }), Type.String({ maxLength: 512 }), { maxProperties: 16 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: answerRowsMax })),
  },
  closed,
);
const AnswerView = Type.Object({
  question: Type.String(),
  askedAt: schemas.Time,
  parameters: Type.Record(Type.String(), Type.String()),
  columns: Type.Array(Type.Object({ name: Type.String(), type: Type.String() })),
  rows: Type.Array(Type.Array(Type.Unknown())),
  truncated: Type.Boolean({ description: 'There are more rows than `limit`.' }),
});

export function questionRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/evidence/questions',
      schema: {
        operationId: 'listQuestions',
        tags: ['evidence'],
        summary: 'List the questions that can be asked of the evidence',
        response: { 200: Type.Object({ questions: Type.Array(QuestionView) }), default: schemas.Problem },
      },
      handler: async () => ({ questions: QUESTIONS.map(shown) }),
    });

    app.route({
      method: 'POST',
      url: '/v1/evidence/questions/:name',
      schema: {
        operationId: 'askQuestion',
        tags: ['evidence'],
        summary: 'Ask one of them',
        params: Type.Object({ name: Type.String({ minLength: 1, maxLength: 64 }) }),
        body: AskRequest,
        response: { 200: AnswerView, default: schemas.Problem },
      },
      handler: async request => {
        const question = findQuestion(request.params.name);
        if (question === undefined) {
          const known = QUESTIONS.map(({ name }) => name).join(', ');
          throw new GatewayError('QUESTION_UNKNOWN', 'notFound', `There is no question of this name. There are: ${known}.`);
        }
        const nowMs = context.clock();
        const parameters = questionParameters(question, request.body.parameters ?? {}, nowMs);
        const answer = await context.history.ask(question, parameters, request.body.limit ?? 10_000);
        return { question: question.name, askedAt: new Date(nowMs).toISOString(), ...answer };
      },
    });
  };
}

function shown(question: Question): Static<typeof QuestionView> {
  return {
    name: question.name,
    title: question.title,
    description: question.description,
    controls: Object.fromEntries(Object.entries(question.controls).map(([framework, ids]) => [framework, [...ids]])),
    parameters: question.parameters.map(name => ({
      name,
      what: PARAMETERS[name].what,
      required: question.required?.includes(name) ?? false,
      absent: PARAMETERS[name].absent,
    })),
    emptyIsGood: question.emptyIsGood ?? false,
    chart: question.chart ?? null,
  };
}
