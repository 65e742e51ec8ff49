/** The text of an answer as it comes, cut at each `separator`; what stands behind the last one is no whole part and is left out. */
export async function* streamParts(body: ReadableStream<Uint8Array>, separator: string): AsyncGenerator<string> {
  const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split(separator);
    rest = parts.pop() ?? '';
    yield* parts;
  }
}
