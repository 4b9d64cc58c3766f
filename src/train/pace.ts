/** How fast a training goes. */
export interface Speed {
  /** Over the last steps, waiting for data included. */
  readonly imagesPerSecond: number;
  readonly etaSeconds: number;
  /** Share of the time spent waiting for the next batch. */
  readonly starved: number;
}

/** Time per step over the last 20 steps, and how much of it was waiting for data. */
export class Pace {
  readonly #batch: number;
  readonly #recent: { wait: number; work: number }[] = [];
  constructor(batch: number) {
    this.#batch = batch;
  }
  add(wait: number, work: number): void {
    this.#recent.push({ wait, work });
    if (this.#recent.length > 20) this.#recent.shift();
  }
  now(stepsLeft: number): Speed {
    const wait = this.#recent.reduce((sum, each) => sum + each.wait, 0);
    const all = wait + this.#recent.reduce((sum, each) => sum + each.work, 0);
    return {
      imagesPerSecond: (1000 * this.#batch * this.#recent.length) / Math.max(all, 1e-3),
      etaSeconds: (stepsLeft * all) / (1000 * Math.max(1, this.#recent.length)),
      starved: wait / Math.max(all, 1e-3),
    };
  }
}
