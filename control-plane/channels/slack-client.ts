/** The client of Slack's API, loaded only where a channel is Slack's. */
import { LogLevel, WebClient } from '@slack/web-api';

const CALL_MS = 10_000;

/** @param url of the API. Calls are tried once: who tells has a way to try again. */
export function slackClient(token: string, url: string): WebClient {
  return new WebClient(token, {
    slackApiUrl: url,
    allowAbsoluteUrls: false,
    timeout: CALL_MS,
    retryConfig: { retries: 0 },
    rejectRateLimitedCalls: true,
    logLevel: LogLevel.ERROR,
    logger: quiet,
  });
}

/** What it would say of requests may hold what they carry. */
const quiet = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  setLevel() {},
  getLevel: () => LogLevel.ERROR,
  setName() {},
};
