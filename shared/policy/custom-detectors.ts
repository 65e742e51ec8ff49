/** Detectors of users' own in a DataPolicy: written out, or as the gitleaks configuration that they have. */
import { compileCustomDetector } from '../detectors/custom/custom-detector.ts';
import type { CustomDetector } from '../detectors/custom/definition.ts';
import { parseGitleaksConfig } from '../detectors/custom/gitleaks.ts';
import { isDetectorOrGroup } from '../detectors/names.ts';
import { errorText } from '../errors.ts';
import {
  decimal,
  defaulted,
  flag,
  INVALID,
  integer,
  listOf,
  mapped,
  object,
  oneOf,
  optional,
  type Reading,
  required,
  shown,
  type Type,
  text,
} from './schema.ts';
import { exactlyOne, line, readNamed } from './values.ts';
import type { YamlNode } from './yaml-source.ts';

/** One detector, tried: its pattern compiles, and its group is there. */
export function customDetector(): Type<CustomDetector> {
  const fields = object({
    name: required(line(100), 'Its name in records: letters and digits, joined by hyphens.'),
    pattern: required(text(), 'RE2’s syntax; runs in time linear in the value.'),
    keywords: optional(listOf(text(), { min: 1, max: 100 }), 'One of them must be in the value, in any case; they make it fast.'),
    entropy: optional(decimal(0, 8), 'Least Shannon entropy of the secret, in bits a character.'),
    secretGroup: optional(integer(0, 100), 'The group that is the secret; absent: the first that took part, else the whole match.'),
    allow: optional(
      listOf(
        object({
          patterns: defaulted(listOf(text(), { max: 1000 }), [], '[]', 'Patterns.'),
          stopWords: defaulted(listOf(text(), { max: 10_000 }), [], '[]', 'Words, in any case, anywhere in the secret.'),
          target: defaulted(oneOf(['secret', 'match', 'line']), 'secret', 'secret', 'What patterns are tried on.'),
          all: optional(flag(), 'Patterns and words must both agree; absent: either.'),
        }),
        { max: 100 },
      ),
      'What is no finding although it matches.',
    ),
  });
  return mapped(fields, (detector, node, reading) => {
    if (isDetectorOrGroup(detector.name))
      return reading.problem(node, `${shown(detector.name)} is the name of a built-in detector; choose another`);
    try {
      compileCustomDetector(detector);
      return detector;
    } catch (error) {
      return reading.problem(node, errorText(error));
    }
  });
}

/** A gitleaks configuration by file or text. What cannot be carried over is a warning for each. */
export function gitleaksConfig(): Type<CustomDetector[]> {
  const forms = object({
    file: optional(line(4096), 'A TOML file; a path that is not absolute starts at the manifest’s folder.'),
    value: optional(text(), 'The TOML text itself.'),
  });
  return mapped(forms, (value, node, reading) => {
    if (exactlyOne(value, ['file', 'value'], 'a gitleaks configuration', node, reading) === INVALID) return INVALID;
    const toml = value.file === undefined ? value.value : readNamed(value.file, node, reading);
    if (toml === undefined) return INVALID;
    try {
      const { detectors, warnings } = parseGitleaksConfig(toml, value.file ?? 'the gitleaks configuration');
      for (const warning of warnings) reading.warn(node, warning);
      return detectors.map(detector => {
        if (!isDetectorOrGroup(detector.name)) return detector;
        const name = `gitleaks-${detector.name}`;
        reading.warn(node, `rule ${detector.name} is called ${name} here: there is a built-in detector of its name`);
        return { ...detector, name };
      });
    } catch (error) {
      return reading.problem(node, errorText(error));
    }
  });
}

/** All of a policy's own, each name once; what is written out goes before a rule of gitleaks with its name. */
export function ownDetectors(
  written: readonly CustomDetector[],
  imported: readonly CustomDetector[],
  node: YamlNode,
  reading: Reading,
): CustomDetector[] {
  const names = new Set<string>();
  for (const { name } of written) {
    if (names.has(name)) reading.problem(node, `two detectors are called ${shown(name)}`);
    names.add(name);
  }
  return [...written, ...imported.filter(({ name }) => !names.has(name))];
}
