/** How policy reads what flow analysis found is shared: rehearsals of policy (shared/rehearsal) judge by the very same code. */
export * from '@sallyport/shared/sql/flow/judge-flow.ts';
