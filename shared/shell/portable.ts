/** Does a text mean the same in every shell of the family, or does it use what only bash reads so? */
import { forEachChild, type ParsedScript, type SyntaxNode } from './syntax.ts';

export function isPortable(script: ParsedScript): boolean {
  return portable(script);
}

function portable(node: SyntaxNode): boolean {
  switch (node.type) {
    case 'AnsiCQuoted':
    case 'LocaleString':
    case 'BraceExpansion':
    case 'ProcessSubstitution':
    case 'ExtendedGlob':
    case 'HereString':
    case 'TestCommand':
    case 'ArithmeticCommand':
    case 'ArithmeticFor':
    case 'Select':
    case 'Coproc':
    case 'ArrayValue':
    case 'Time':
      return false;
    case 'Redirect':
      if (node.operator.startsWith('&') || node.descriptor?.type === 'FileDescriptorVariable') return false;
      break;
    case 'Pipeline':
      if (node.operators.includes('|&')) return false;
      break;
    case 'ParameterExpansion':
      if (node.prefix === '!' || node.index !== undefined) return false;
      if (node.operation !== undefined && node.operation.type !== 'Default' && node.operation.type !== 'Remove') return false;
      break;
    case 'Assignment':
      if (node.append === true || node.index !== undefined) return false;
      break;
    default:
  }
  let same = true;
  forEachChild(node, child => {
    same &&= portable(child);
  });
  return same;
}
