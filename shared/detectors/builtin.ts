/** Every built-in detector's rules in one list. */
import type { WordHook } from './forms.ts';
import { ibanWord } from './personal/iban.ts';
import { ipv4Word } from './personal/ip-address.ts';
import { europe } from './personal/national-ids-europe.ts';
import { world } from './personal/national-ids-world.ts';
import { passport } from './personal/passport.ts';
import { paymentCard } from './personal/payment-card.ts';
import { phoneWord } from './personal/phone.ts';
import { us } from './personal/us.ts';
import type { FormRule, LiteralRule } from './rule.ts';
import { flags } from './secrets/flags.ts';
import { generic } from './secrets/generic.ts';
import { jwt } from './secrets/jwt.ts';
import { marked } from './secrets/marked.ts';
import { privateKey } from './secrets/private-key.ts';
import { urls } from './secrets/urls.ts';
import { vendorTokens } from './secrets/vendor-tokens.ts';

export const builtinLiterals: readonly LiteralRule[] = [
  ...privateKey,
  ...jwt,
  ...vendorTokens,
  ...marked,
  ...urls,
  ...generic,
  ...flags,
  ...passport,
];

export const builtinForms: readonly FormRule[] = [...paymentCard, ...us, ...europe, ...world];

export const builtinHooks: readonly { detector: string; hook: WordHook }[] = [
  { detector: 'iban', hook: ibanWord },
  { detector: 'ip-address', hook: ipv4Word },
  { detector: 'phone', hook: phoneWord },
];
