import { EdgeError } from '../src/core/errors.ts';

/** The EdgeError with which `run` refuses, or undefined where it gives a value; any other exception, and an `internal` one, goes on. */
export function refusal(run: () => unknown): EdgeError | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof EdgeError && error.code !== 'internal') return error;
    throw error;
  }
  return undefined;
}

/** The EdgeError with which `run` refuses; a value is a failure of the test. */
export function failure(run: () => unknown): EdgeError {
  const error = refusal(run);
  if (error === undefined) throw new Error('Expected a failure.');
  return error;
}
