/**
 * Catalogs of resources' databases, as agents read them: kept for a short time, so that a page of questions about policy is one
 * reading. They hold names and definitions; they are not evidence, and nothing live is judged by them.
 */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type CatalogFile, type CatalogView, catalogView, parseCatalogFile } from '@sallyport/shared/rehearsal/catalog-file.ts';
import type { Fleet } from '../grpc/fleet.ts';

const keptMs = 60_000;
const keptMax = 16;
/** A catalog that unpacks to more than this is none. */
const unpackedBytesMax = 256 * 1024 * 1024;
const unpack = promisify(gunzip);

export interface ReadCatalog {
  file: CatalogFile;
  view: CatalogView;
}

export class Catalogs {
  readonly #fleet: Fleet;
  readonly #clock: () => number;
  readonly #kept = new Map<string, { atMs: number; catalog: Promise<ReadCatalog> }>();

  constructor(fleet: Fleet, clock: () => number) {
    this.#fleet = fleet;
    this.#clock = clock;
  }

  /**
   * @param database where the resource names none.
   * @throws {GatewayError} CATALOG_UNAVAILABLE when no connected agent can read it; CATALOG_FILE_INVALID.
   */
  read(resource: string, database = ''): Promise<ReadCatalog> {
    const key = JSON.stringify([resource, database]);
    const known = this.#kept.get(key);
    const nowMs = this.#clock();
    if (known !== undefined && nowMs - known.atMs < keptMs) return known.catalog;
    const catalog = this.#ask(resource, database);
    this.#kept.delete(key);
    this.#kept.set(key, { atMs: nowMs, catalog });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > keptMax && oldest !== undefined) this.#kept.delete(oldest);
    catalog.catch(() => {
      if (this.#kept.get(key)?.catalog === catalog) this.#kept.delete(key);
    });
    return catalog;
  }

  async #ask(resource: string, database: string): Promise<ReadCatalog> {
    const agent = this.#fleet.servingAgent(resource);
    if (agent === undefined) {
      throw new GatewayError(
        'CATALOG_UNAVAILABLE',
        'unavailable',
        `No agent that serves ${resource} is connected, so its catalog cannot be read.`,
      );
    }
    const packed = await agent.catalog(resource, database);
    let text: string;
    try {
      text = (await unpack(packed, { maxOutputLength: unpackedBytesMax })).toString('utf8');
    } catch (cause) {
      throw new GatewayError('CATALOG_UNAVAILABLE', 'unavailable', 'The agent sent a catalog that cannot be unpacked.', { cause });
    }
    const file = parseCatalogFile(text);
    return { file, view: catalogView(file) };
  }
}
