/** The Emscripten module inside libpg-query 18.1.5, which ships no types for it. Pointers are 32-bit offsets into HEAPU8. */
declare module 'libpg-query/wasm/libpg-query.js' {
  export interface LibpgQueryModule {
    readonly HEAPU8: Uint8Array; // replaced when memory grows: read it anew after each call
    readonly HEAPU32: Uint32Array;
    _malloc(bytes: number): number;
    _free(pointer: number): void;
    _wasm_parse_query_raw(text: number): number;
    _wasm_free_parse_result(result: number): void;
    _wasm_parse_plpgsql(text: number): number;
    _wasm_fingerprint(text: number): number;
    _wasm_scan(text: number): number;
    _wasm_free_string(pointer: number): void;
  }
  export default function createModule(options?: object): Promise<LibpgQueryModule>;
}
