/** Why a command is decided as it is, and what recorded traffic would meet under another policy. */
import { useNavigate, useSearch } from '@tanstack/react-router';
import { Page, Tabs } from '../ui/basics.tsx';
import { ExplainCommand } from './workbench/explain-command.tsx';
import { SimulatePolicy } from './workbench/simulate-policy.tsx';

type Tab = 'explain' | 'simulate';

export function WorkbenchPage() {
  const { tab } = useSearch({ from: '/workbench' });
  const navigate = useNavigate();
  const shown: Tab = tab === 'simulate' ? 'simulate' : 'explain';
  return (
    <Page
      title="Workbench"
      actions={
        <Tabs<Tab>
          label="What to do"
          value={shown}
          onChange={next => void navigate({ to: '/workbench', search: next === 'explain' ? {} : { tab: next }, replace: true })}
          options={[
            { value: 'explain', label: 'Explain a command' },
            { value: 'simulate', label: 'Try a policy' },
          ]}
        />
      }
    >
      {shown === 'explain' ? <ExplainCommand /> : <SimulatePolicy />}
    </Page>
  );
}
