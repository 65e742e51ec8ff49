/** The parts of the evidence's page: what the records say, how long they are kept, what holds them in place, and a copy to take away. */
import { useNavigate } from '@tanstack/react-router';
import { Tabs } from '../../ui/basics.tsx';

export type EvidenceView = 'reports' | 'retention' | 'anchors' | 'export';

const views: readonly { value: EvidenceView; label: string }[] = [
  { value: 'reports', label: 'Reports' },
  { value: 'retention', label: 'Retention' },
  { value: 'anchors', label: 'Anchors' },
  { value: 'export', label: 'Export' },
];

export function EvidenceTabs({ view }: { view: EvidenceView }) {
  const navigate = useNavigate();
  return (
    <Tabs
      label="Parts of the evidence"
      value={view}
      options={views}
      onChange={next => void (next === 'reports' ? navigate({ to: '/evidence' }) : navigate({ to: '/custody', search: { view: next } }))}
    />
  );
}
