/**
 * Numbers of the messages that this folder reads and writes itself; the transport's (RFC 4253) are the library's.
 *
 * @see RFC 4250, 4.1
 */
export const Message = {
  disconnect: 1,
  ignore: 2,
  unimplemented: 3,
  debug: 4,
  serviceRequest: 5,
  serviceAccept: 6,
  userauthRequest: 50,
  userauthFailure: 51,
  userauthSuccess: 52,
  userauthBanner: 53,
  /** Also USERAUTH_PK_OK and USERAUTH_PASSWD_CHANGEREQ. */
  userauthInfoRequest: 60,
  userauthInfoResponse: 61,
  globalRequest: 80,
  requestSuccess: 81,
  requestFailure: 82,
  channelOpen: 90,
  channelOpenConfirmation: 91,
  channelOpenFailure: 92,
  channelWindowAdjust: 93,
  channelData: 94,
  channelExtendedData: 95,
  channelEof: 96,
  channelClose: 97,
  channelRequest: 98,
  channelSuccess: 99,
  channelFailure: 100,
} as const;

/** RFC 4254, 5.1. */
export const OpenFailure = { administrativelyProhibited: 1, connectFailed: 2, unknownChannelType: 3, resourceShortage: 4 } as const;

/** RFC 4253, 11.1. */
export const DisconnectReason = {
  hostNotAllowed: 1,
  protocolError: 2,
  serviceNotAvailable: 7,
  connectionLost: 10,
  byApplication: 11,
  noMoreAuthMethods: 14,
} as const;

/** The only kind of extended data (RFC 4254, 5.2). */
export const STDERR = 1;
