/** Both planes verify tokens by the same rules: they are in shared/identity. */
export * from '@sallyport/shared/identity/jws.ts';
