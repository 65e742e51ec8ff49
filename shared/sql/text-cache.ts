/** A cache by text, bounded by entries and by the characters of its keys; what was used longest ago goes first. */
export class TextCache<Value> {
  private readonly entries = new Map<string, Value>();
  private readonly entriesMax: number;
  private readonly charactersMax: number;
  private characters = 0;
  private hitsSinceMove = 0;

  constructor(entriesMax: number, charactersMax: number) {
    this.entriesMax = entriesMax;
    this.charactersMax = charactersMax;
  }

  get size(): number {
    return this.entries.size;
  }

  get(text: string): Value | undefined {
    const value = this.entries.get(text);
    // Moving an entry to the young end costs more than finding it: one hit in eight does.
    if (value !== undefined && (++this.hitsSinceMove & 7) === 0) {
      this.entries.delete(text);
      this.entries.set(text, value);
    }
    return value;
  }

  set(text: string, value: Value): void {
    if (text.length > this.charactersMax) return;
    if (this.entries.delete(text)) this.characters -= text.length;
    this.entries.set(text, value);
    this.characters += text.length;
    while (this.entries.size > this.entriesMax || this.characters > this.charactersMax) {
      const oldest = this.entries.keys().next();
      if (oldest.done) break;
      this.entries.delete(oldest.value);
      this.characters -= oldest.value.length;
    }
  }
}
