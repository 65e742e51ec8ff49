/**
 * What names mean in one session beyond the shared catalog: tables that it has made, names that its definitions have given another
 * meaning, and the catalog as its own connection shows it, once that was read.
 *
 * A name is in doubt from the definition that changes it until the session's own catalog is read. What a transaction has done is
 * in doubt again when it is undone, and at its end; only where the session has never made anything temporary is everything that it
 * has done in the shared catalog by then, or gone. A statement that uses a name in doubt is not judged by what the name meant before.
 *
 * Pure: it sends nothing.
 */
import type { CatalogFunction, CatalogRelation } from '@sallyport/shared/sql/flow/catalog.ts';
import type { Catalog } from './catalog.ts';
import type { StatementFlow } from './flow.ts';
import type { OwnCatalog } from './own-catalog.ts';

const NAMES_MAX = 1000;
const ANY = '*';
const NONE: ReadonlyMap<string, CatalogRelation> = new Map();

export class SessionNames {
  readonly #catalog: Catalog;
  /** Tables that statements have made since the own catalog was read, as their texts say. */
  readonly #made = new Map<string, CatalogRelation>();
  /** Of them, those that are there after the transaction and for this session only. */
  readonly #lasting = new Set<string>();
  /** Functions that the open transaction has made, likewise. */
  readonly #functions = new Map<string, CatalogFunction>();
  /** It has dropped something. */
  #dropped = false;
  readonly #inDoubt = new Set<string>();
  /** All that the open transaction has made or changed. */
  readonly #inTransaction = new Set<string>();
  #own: OwnCatalog | null = null;
  #ownVersion = -1;
  #unreadable = false;
  #hasTemporary = false;
  #defined = false;
  #failed = false;
  /** Rises when a name may have got another meaning. */
  #version = 0;

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  get version(): number {
    this.#check();
    return this.#version;
  }

  /** The open transaction has run definitions. */
  get defined(): boolean {
    return this.#defined;
  }

  /** Null: the shared catalog says it all, but for `temporary` and `inDoubt`. */
  get own(): OwnCatalog | null {
    this.#check();
    return this.#own;
  }

  get temporary(): ReadonlyMap<string, CatalogRelation> {
    const own = this.own?.temporary ?? NONE;
    if (this.#made.size === 0) return own;
    return own.size === 0 ? this.#made : new Map([...own, ...this.#made]);
  }

  get functions(): ReadonlyMap<string, CatalogFunction> {
    return this.#functions;
  }

  get dropped(): boolean {
    return this.#dropped;
  }

  get inDoubt(): readonly string[] {
    this.#check();
    return [...this.#inDoubt];
  }

  /** Reading the own catalog would tell what names in doubt mean. */
  get canBeRead(): boolean {
    this.#check();
    return this.#inDoubt.size > 0 && !this.#unreadable;
  }

  /** Its own connection has been asked. @param own null: it cannot tell now. */
  ownIs(own: OwnCatalog | null): void {
    if (own === null) {
      this.#unreadable = true;
      return;
    }
    this.#own = own;
    this.#ownVersion = this.#catalog.version;
    this.#made.clear();
    this.#functions.clear();
    this.#lasting.clear();
    this.#inDoubt.clear();
    this.#version++;
  }

  /** Statements have run that nobody has followed. */
  forget(): void {
    this.#hasTemporary = true;
    if (!this.#inDoubt.has(ANY)) this.#doubt(ANY);
  }

  /** A statement has worked. */
  completed({ result, makes }: StatementFlow, firstSchema: string | undefined): void {
    const { made, madeFunction, names, temporary, drops } = result.change;
    const table = makes ?? made;
    if (temporary || firstSchema?.startsWith('pg_temp') === true) this.#hasTemporary = true;
    if (table !== undefined && !this.#inDoubt.has(table.name)) {
      if (this.#made.size >= NAMES_MAX) this.#doubt(ANY);
      else {
        this.#made.set(table.name, table);
        if (temporary && makes !== undefined) this.#lasting.add(table.name);
        else this.#lasting.delete(table.name);
      }
      addBounded(this.#inTransaction, table.name);
      this.#version++;
    }
    if (madeFunction !== undefined) {
      const { name } = madeFunction;
      if (this.#functions.size >= NAMES_MAX || this.#functions.has(name)) this.#doubt(this.#functions.has(name) ? name : ANY);
      else if (!this.#inDoubt.has(name)) this.#functions.set(name, madeFunction);
      addBounded(this.#inTransaction, name);
      this.#version++;
    }
    if (drops === true && !this.#dropped) {
      this.#dropped = true;
      this.#version++;
    }
    for (const name of names) {
      addBounded(this.#inTransaction, name);
      this.#doubt(name);
    }
    if (result.changesCatalog) this.#defined = true;
  }

  /** ROLLBACK TO SAVEPOINT: what the transaction has done is there no more, or not all of it. */
  undone(): void {
    for (const name of this.#inTransaction) this.#doubt(name);
    this.#dropOwn();
  }

  /** An error has come. */
  failed(): void {
    this.#failed = true;
  }

  /** DISCARD: temporary objects may be gone. */
  discarded(): void {
    for (const name of [...this.#lasting]) this.#doubt(name);
    this.#dropOwn();
  }

  /** No transaction is open. @returns whether the shared catalog must be read again. */
  transactionEnded(): boolean {
    const { defined } = this;
    if (defined) {
      this.#dropOwn();
      if (this.#failed) for (const name of this.#inTransaction) this.#doubt(name);
      // Reading the shared catalog again shows what is not temporary.
      for (const name of this.#made.keys()) if (!this.#lasting.has(name)) this.#made.delete(name);
      this.#functions.clear();
      this.#dropped = false;
      if (!this.#hasTemporary) this.#inDoubt.clear();
      this.#inTransaction.clear();
      this.#version++;
    }
    this.#defined = false;
    this.#failed = false;
    this.#unreadable = false;
    return defined;
  }

  #doubt(name: string): void {
    this.#made.delete(name);
    this.#functions.delete(name);
    this.#lasting.delete(name);
    addBounded(this.#inDoubt, name);
    this.#unreadable = false;
    this.#version++;
  }

  #dropOwn(): void {
    const own = this.#own;
    if (own === null) return;
    this.#own = null;
    for (const name of own.temporaryNames) this.#doubt(name);
    for (const name of this.#inTransaction) this.#doubt(name);
    this.#version++;
  }

  /** What others have committed since is not in the own catalog. */
  #check(): void {
    if (this.#own !== null && this.#ownVersion !== this.#catalog.version) this.#dropOwn();
  }
}

/** Of too many names any is one. */
function addBounded(names: Set<string>, name: string): void {
  if (names.size < NAMES_MAX) {
    names.add(name);
    return;
  }
  names.clear();
  names.add(ANY);
}
