/**
 * Schemas of routes are compiled when a request first needs them: all of them at once is a third of the control plane's start. The compilers
 * are Fastify's own. `compileAll` is for the test that holds that every schema can be compiled.
 */
import { AjvCompiler, type BuildCompilerFromPool } from '@fastify/ajv-compiler';
import { type Serializer, type SerializerFactory, SerializerSelector } from '@fastify/fast-json-stringify-compiler';

type Validator = ReturnType<ReturnType<BuildCompilerFromPool>>;

export interface SchemaCompilers {
  buildValidator: BuildCompilerFromPool;
  buildSerializer: SerializerFactory;
  /** Compiles what is not compiled yet. @returns how many there are in all. @throws what a compiler says of a schema. */
  compileAll(): number;
  /** How many are compiled. */
  compiled(): number;
}

export function schemaCompilers(): SchemaCompilers {
  const validators = AjvCompiler();
  const serializers = SerializerSelector();
  const compiles: (() => unknown)[] = [];
  let compiled = 0;
  const once = <Made>(make: () => Made): (() => Made) => {
    let made: Made | undefined;
    const get = () => {
      if (made === undefined) {
        made = make();
        compiled++;
      }
      return made;
    };
    compiles.push(get);
    return get;
  };
  return {
    buildValidator: (schemas, options) => {
      const compile = validators(schemas, options);
      return (...route) => {
        const validator = once(() => compile(...route));
        const validate = ((data: unknown) => {
          const compiled = validator();
          const isValid = compiled(data);
          // Fastify reads them here, at once.
          validate.errors = compiled.errors ?? null;
          return isValid;
        }) as Validator;
        return validate;
      };
    },
    buildSerializer: (schemas, options) => {
      const compile = serializers(schemas, options);
      return route => {
        const serializer = once<Serializer>(() => compile(route));
        return document => serializer()(document);
      };
    },
    compileAll: () => {
      for (const compile of compiles) compile();
      return compiles.length;
    },
    compiled: () => compiled,
  };
}
