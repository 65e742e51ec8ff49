/**
 * What SSH's own tools need of us: certificates by which people connect, and the public keys of the authorities that sign certificates
 * of agents' host keys and of agents' logins at hosts. A certificate is a ticket in another form: revoked and listed like one.
 */
import { randomBytes } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import { parsePublicKeyLine } from '@sallyport/shared/ssh/keys.ts';
import { Type } from 'typebox';
import { credentialAuthority, hostAuthority, issueUserCertificate, publicKeyLine } from '../../pki/ssh-authorities.ts';
import { callerOf, provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import * as schemas from '../schemas.ts';

const CertificateRequest = Type.Object(
  {
    resource: schemas.Name,
    publicKey: Type.String({ minLength: 1, maxLength: 16_384, description: 'One line, `ssh-ed25519 AAAA…`' }),
    expiresInSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 3600 })),
  },
  { additionalProperties: false },
);

export function sshRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { control, fleet, keys, tickets, clock } = context;
  return async app => {
    app.route({
      method: 'POST',
      url: '/v1/ssh/certificates',
      config: { access: 'principal' },
      schema: {
        operationId: 'issueSshCertificate',
        tags: ['access'],
        summary: 'Exchange an identity provider’s token for an OpenSSH certificate to one resource',
        body: CertificateRequest,
        response: {
          201: Type.Object({
            certificate: Type.String({ description: 'One line, as `ssh` reads it from KEY-cert.pub' }),
            id: Type.String(),
            expiresAt: schemas.Time,
            resource: schemas.Name,
            address: Type.Optional(Type.String()),
            hostAuthority: Type.String({ description: 'One line, for `@cert-authority` in known_hosts' }),
          }),
          default: schemas.Problem,
        },
      },
      handler: async (request, reply) => {
        const caller = callerOf(request);
        if (caller.type === 'admin')
          throw new GatewayError(
            'TICKET_NEEDS_PRINCIPAL',
            'denied',
            'A certificate is for a person or a service: send their identity provider’s token.',
          );
        const { resource, publicKey, expiresInSeconds } = request.body;
        const manifest = control.state.manifest('Resource', resource)?.manifest as Manifest<'Resource'> | undefined;
        if (manifest !== undefined && manifest.spec.protocol !== 'ssh')
          throw new GatewayError('RESOURCE_NOT_SSH', 'invalid', 'This resource is not reached by SSH: ask for a ticket.');
        const { key } = readKey(publicKey);
        const { tokenId, expiresAtMs } = await tickets.issue(
          {
            ...{ principal: caller.principal, tokenExpiresAtMs: caller.expiresAtMs, resource, bounds: {} },
            ...(expiresInSeconds === undefined ? {} : { expiresInSeconds }),
          },
          provenanceOf(request, 'SSH certificate issued'),
        );
        const blob = issueUserCertificate(keys, {
          ...{ key, principal: caller.principal, tokenId, resource, expiresAtMs, nowMs: clock() },
          serial: randomBytes(8).readBigUInt64BE(),
        });
        const [served] = fleet.addressesOf(resource);
        return reply.code(201).send({
          certificate: `${blob.subarray(4, 4 + blob.readUInt32BE(0)).toString('latin1')} ${blob.toString('base64')} ${resource}`,
          id: tokenId,
          expiresAt: new Date(expiresAtMs).toISOString(),
          resource,
          hostAuthority: publicKeyLine(hostAuthority(keys), 'sallyport-hosts'),
          ...(served === undefined ? {} : { address: served.address }),
        });
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/ssh/authority',
      config: { access: 'principal' },
      schema: {
        operationId: 'getSshHostAuthority',
        tags: ['access'],
        summary: 'The authority that signs the host keys of agents, as known_hosts takes it behind `@cert-authority`',
        response: { 200: Type.Object({ publicKey: Type.String() }), default: schemas.Problem },
      },
      handler: async () => ({ publicKey: publicKeyLine(hostAuthority(keys), 'sallyport-hosts') }),
    });

    app.route({
      method: 'GET',
      url: '/v1/ssh/authorities/:credential',
      schema: {
        operationId: 'getSshCredentialAuthority',
        tags: ['access'],
        summary: 'The authority of a credential with `certificate: true`, as sshd’s TrustedUserCAKeys takes it',
        params: Type.Object({ credential: schemas.Name }),
        response: { 200: Type.Object({ publicKey: Type.String() }), default: schemas.Problem },
      },
      handler: async request => {
        const { credential } = request.params;
        const stored = control.state.manifest('Credential', credential)?.manifest;
        if (stored?.kind !== 'Credential' || !('certificate' in stored.spec) || stored.spec.certificate !== true)
          throw new GatewayError('AUTHORITY_UNKNOWN', 'notFound', 'There is no such credential with `certificate: true`.');
        return { publicKey: publicKeyLine(credentialAuthority(keys, credential).blob, `sallyport-${credential}`) };
      },
    });
  };
}

function readKey(line: string) {
  try {
    return parsePublicKeyLine(line);
  } catch (error) {
    throw new GatewayError('SSH_KEY_MALFORMED', 'invalid', `The public key is not usable: ${errorText(error)}`);
  }
}
