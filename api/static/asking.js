// The API from the page's side: a path enters, its JSON leaves, or a Refused with the server's own words.

import { language, say } from "/static/words.js";

/** What the server did not answer; `status` 0: it could not be reached. `position`: the character of a query's fault. */
export class Refused extends Error {
  constructor(status, body) {
    super(body.detail ?? say("no_answer"));
    this.status = status;
    this.position = body.position ?? null;
    this.reason = body.reason ?? null;
  }
}

/** `byItself`: nobody did anything, so that this keeps no session open. */
export async function ask(path, body, byItself = false, method = "POST") {
  const options = { headers: { "Accept-Language": language }, credentials: "same-origin" };
  if (body !== undefined) {
    options.method = method;
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  if (byItself) options.headers["X-Haidang-By-Itself"] = "1";
  let response;
  try {
    response = await fetch(`/api/v1${path}`, options);
  } catch {
    throw new Refused(0, {});
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

/** Return the parameters as the query of a path; empty ones are left out. */
export function withParameters(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}
