/** Queues for things that one step at a time may use. A step takes all it names at once, in order of asking, so nothing waits in a circle and nobody starves. */
export class Resources {
  readonly #busy = new Set<string>();
  readonly #waiting: { readonly names: readonly string[]; readonly start: () => void }[] = [];

  /** Runs `work` while it holds every name. */
  async holding<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
    if (names.length === 0) return work();
    await new Promise<void>(start => {
      this.#waiting.push({ names, start });
      this.#advance();
    });
    try {
      return await work();
    } finally {
      for (const name of names) this.#busy.delete(name);
      this.#advance();
    }
  }

  #advance(): void {
    // A name that an earlier waiter wants counts as taken for the later ones.
    const wanted = new Set<string>();
    for (const waiter of [...this.#waiting]) {
      const free = waiter.names.every(name => !this.#busy.has(name) && !wanted.has(name));
      if (!free) {
        for (const name of waiter.names) wanted.add(name);
        continue;
      }
      this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
      for (const name of waiter.names) this.#busy.add(name);
      waiter.start();
    }
  }
}
