/** Is there a telephone's width? The same bound as in the style sheet. */
import { useSyncExternalStore } from 'react';

const media = '(max-width: 760px)';

export function useNarrow(): boolean {
  return useSyncExternalStore(
    listener => {
      const query = matchMedia(media);
      query.addEventListener('change', listener);
      return () => query.removeEventListener('change', listener);
    },
    () => matchMedia(media).matches,
  );
}
