/** What was recorded and can be read no more, in one sentence: shredded (when, by whom, why), or never recorded. */
import { Untrusted } from '../../ui/untrusted.tsx';

export function ContentsGone({ what, why }: { what: string; why: string }) {
  return (
    <p className="soft" data-gone="true">
      {what} <Untrusted text={why} />. That it was recorded, and when, stays proved.
    </p>
  );
}
