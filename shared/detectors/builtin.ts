/** Every built-in detector's rules in one list. */

import type { WordHook } from './forms.ts';
import { paymentCard } from './personal/payment-card.ts';
import { us } from './personal/us.ts';
import type { FormRule, LiteralRule } from './rule.ts';
import { jwt } from './secrets/jwt.ts';
import { privateKey } from './secrets/private-key.ts';
import { vendorTokens } from './secrets/vendor-tokens.ts';
import type { Scan } from './span.ts';

export const builtinLiterals: readonly LiteralRule[] = [...privateKey, ...jwt, ...vendorTokens];

export const builtinForms: readonly FormRule[] = [...paymentCard, ...us];

export const builtinHooks: readonly { detector: string; run: WordHook }[] = [];

/** IPv6 addresses are looked for at every colon between hexadecimal digits. */
export function matchColon(_scan: Scan, _at: number): void {}
