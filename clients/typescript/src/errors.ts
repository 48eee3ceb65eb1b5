/** The API refused a request, or can't answer it. */
export class PlantError extends Error {
  /**
   * @param code for programs: one of those of the API, `not_recoverable` or `unreachable`
   * @param message for people
   * @param near similar names, which may have been meant
   */
  constructor(readonly code: string, message: string, readonly near: readonly string[] = []) {
    super(message);
    this.name = new.target.name;
  }
}

/** Trying again later may succeed; live iterators do so by themselves. */
export class TemporaryError extends PlantError {}

/** HTTP statuses that trying again does not change. */
const PERMANENT = new Set([400, 401, 403, 404, 405, 409, 410, 421, 422]);

/** Returns the error of an HTTP response that is not a success. */
export function errorOfResponse(status: number, body: string): PlantError {
  let problem: { code?: string; detail?: string; near?: string[] } = {};
  try {
    problem = JSON.parse(body) ?? {};
  } catch {
    // the page of a proxy, for example
  }
  const Kind = PERMANENT.has(status) ? PlantError : TemporaryError;
  return new Kind(problem.code ?? `http_${status}`, problem.detail ?? `the API answered ${status}`, problem.near);
}
