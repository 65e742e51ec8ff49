/** The direction of dependencies that docs/architecture.md states. */
module.exports = {
  forbidden: [
    {
      name: 'shared-is-pure',
      comment: 'shared imports neither plane.',
      severity: 'error',
      from: { path: '^shared' },
      to: { path: '^(agent|control-plane|cli|loadtest|e2e)/' },
    },
    {
      name: 'shared-does-no-io',
      comment: 'decide, facts, detectors and masks are functions of their inputs.',
      severity: 'error',
      from: { path: '^shared', pathNot: '\\.test\\.ts$|^shared/.*/(capture|generate)[^/]*\\.ts$' },
      to: { dependencyTypes: ['core'], path: '^(node:)?(net|tls|http|https|http2|dns|fs|fs/promises|child_process|worker_threads|dgram)$' },
    },
    {
      name: 'planes-meet-in-proto',
      comment: 'The agent knows the control plane only by its contracts, and the reverse.',
      severity: 'error',
      from: { path: '^agent' },
      to: { path: '^(control-plane|cli|e2e|loadtest)/' },
    },
    { name: 'planes-meet-in-proto-2', severity: 'error', from: { path: '^control-plane' }, to: { path: '^(agent|cli|e2e|loadtest)/' } },
    {
      name: 'proto-stands-alone',
      severity: 'error',
      from: { path: '^proto' },
      to: { path: '^(shared|agent|control-plane|cli|e2e|loadtest)/' },
    },
    {
      name: 'protocols-stand-alone',
      comment: 'A protocol folder never imports another.',
      severity: 'error',
      from: { path: '^agent/(postgres|ssh|http|redis|mysql|mongodb|kubernetes|rdp)/' },
      to: { path: '^agent/(postgres|ssh|http|redis|mysql|mongodb|kubernetes|rdp)/', pathNot: '^agent/$1/' },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^proto/gen' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'types'] },
  },
};
