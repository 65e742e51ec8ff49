/** Where evidence is kept, for how long, and what proves that nothing of it was taken out. */
import { useSearch } from '@tanstack/react-router';
import { Page } from '../../ui/basics.tsx';
import { Anchors } from './anchors.tsx';
import { EvidenceTabs } from './evidence-tabs.tsx';
import { ExportEvidence } from './export-evidence.tsx';
import { LegalHolds } from './legal-holds.tsx';
import { Retention } from './retention.tsx';

export function CustodyPage() {
  const { view } = useSearch({ from: '/custody' });
  const shown = view === 'anchors' || view === 'export' ? view : 'retention';
  return (
    <Page title="Evidence" actions={<EvidenceTabs view={shown} />}>
      <div className="pad col" style={{ gap: 16 }}>
        {shown === 'retention' && (
          <>
            <Retention />
            <LegalHolds />
          </>
        )}
        {shown === 'anchors' && <Anchors />}
        {shown === 'export' && <ExportEvidence />}
      </div>
    </Page>
  );
}
