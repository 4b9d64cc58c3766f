/** Values of an async source, each asked for before the one ahead of it is worked on: a step has its own thread, so both happen at once. */
export class Ahead<T> {
  readonly #iterator: AsyncIterator<T>;
  #next: Promise<IteratorResult<T>>;
  constructor(source: AsyncIterable<T>) {
    this.#iterator = source[Symbol.asyncIterator]();
    this.#next = this.#ask();
  }
  /** A promise whose failure waits until it is awaited. */
  #ask(): Promise<IteratorResult<T>> {
    const asked = this.#iterator.next();
    asked.catch(() => {});
    return asked;
  }
  /** The next value, or undefined at the end. */
  async next(): Promise<T | undefined> {
    const { done, value } = await this.#next;
    if (done) return undefined;
    this.#next = this.#ask();
    return value;
  }
  async close(): Promise<void> {
    await this.#next.catch(() => {});
    await this.#iterator.return?.();
  }
}
