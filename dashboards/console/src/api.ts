// The API from the page's side: a path enters, its JSON leaves, or a `Refused` with the server's own words.

import { language, t } from "./words";

/** What the server did not answer; `status` 0: it could not be reached. `position`: the character of a query's fault. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly body: { detail?: unknown; position?: number; reason?: string } = {},
  ) {
    super(saidIn(body.detail) || t(status === 0 ? "fault.away" : "fault.answer", { status }));
  }

  /** Whether it may be otherwise in a moment, without anybody doing anything. */
  get passes(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Return what an answer says of its fault: a sentence, or one for each value that does not fit. */
function saidIn(detail: unknown): string {
  if (typeof detail === "string") return detail;
  if (!Array.isArray(detail)) return "";
  return detail
    .map(({ loc = [], msg = "" }: { loc?: unknown[]; msg?: string }) => `${loc.slice(1).join(".")}: ${msg}`)
    .slice(0, 5)
    .join("\n");
}

type Values = Record<string, string | number | boolean | null | undefined>;
type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

interface Asking {
  method?: Method;
  body?: unknown;
  /** Nobody did anything, so this keeps no session open. */
  byItself?: boolean;
  /** The page may be gone before the answer comes. */
  keepalive?: boolean;
  signal?: AbortSignal;
}

let onLoggedOut: () => void = () => {};

/** Say what is to be done when the session is over. */
export function whenLoggedOut(work: () => void): void {
  onLoggedOut = work;
}

/** Ask for a path under `/api/v1`. */
export async function ask<T>(path: string, asking: Asking = {}): Promise<T> {
  const response = await send(path, asking);
  return response.status === 204 ? (undefined as T) : response.json();
}

/** Ask for what is no JSON, such as an export. */
export async function send(
  path: string,
  { method = "GET", body, byItself = false, keepalive = false, signal }: Asking = {},
): Promise<Response> {
  const headers: Record<string, string> = { "Accept-Language": language };
  const isRaw = body instanceof Blob;
  if (body !== undefined) headers["Content-Type"] = isRaw ? "application/octet-stream" : "application/json";
  if (byItself) headers["X-Haidang-By-Itself"] = "1";
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      credentials: "same-origin",
      keepalive,
      signal: signal ?? null,
      body: body === undefined ? null : isRaw ? body : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(0);
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  // A password that is wrong is told by 401, too, but asks for no log-in (RFC 9110 section 11.6.1).
  if (response.status === 401 && response.headers.has("WWW-Authenticate")) onLoggedOut();
  throw new Refused(response.status, answer);
}

/** Return a path with parameters; empty ones are left out. */
export function withValues(path: string, values: Values): string {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : path;
}

/** Return a part of a path. */
export const part = (text: string | number): string => encodeURIComponent(text);
