import { Link } from '@tanstack/react-router';
import { Empty, Page } from '../ui/basics.tsx';

export function NotFound() {
  return (
    <Page title="Not here">
      <Empty icon="search" title="There is no such page">
        <p>
          The address may be mistyped, or from another version.{' '}
          <Link className="link" to="/">
            Go to the start
          </Link>
          , or press <kbd>Ctrl</kbd> <kbd>K</kbd>.
        </p>
      </Empty>
    </Page>
  );
}
