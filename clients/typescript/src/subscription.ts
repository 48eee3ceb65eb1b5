import { PlantError, TemporaryError } from "./errors.js";
import { parseExact, type Control, type Message, type Since } from "./messages.js";

/** The channels of one websocket, with the cursors to resume them at, over any number of connections. */
export class Subscription {
  /** Where each channel is resumed, by full name. */
  cursors: Map<string, string>;
  #since: string | undefined;

  constructor(readonly channels: readonly string[], since?: Since) {
    this.#since = typeof since === "string" ? since : undefined;
    this.cursors = new Map(typeof since === "object" ? Object.entries(since) : []);
  }

  /** Returns the request that subscribes, on a new connection. */
  request(): object {
    const since = this.#since ?? (this.cursors.size ? Object.fromEntries(this.cursors) : undefined);
    return { op: "subscribe", id: 1, channels: this.channels, ...(since !== undefined && { since }) };
  }

  /**
   * Takes a message, and returns it unless it is an answer to a request.
   * @throws {TemporaryError} the subscription must be repeated on another connection
   * @throws {PlantError} the API refuses the subscription
   */
  receive(text: string): Message | undefined {
    let message: Message | Control;
    try {
      message = parseExact(text) as Message | Control;
    } catch (error) {
      throw new PlantError("malformed", `the server sent no message of tickplant: ${error}`);
    }
    switch (message.type) {
      case "pong":
        return undefined;
      case "ack":
        if (this.#since !== undefined && message.channels.length) {
          this.cursors = new Map(message.channels.map((channel) => [channel, this.#since as string]));
          this.#since = undefined;
        }
        return undefined;
      case "error": {
        const Kind = message.code === "unavailable" ? TemporaryError : PlantError;
        throw new Kind(message.code, message.message, message.near);
      }
      case "status":
        return message;
      default:
        if (message.cursor) this.cursors.set(message.channel, message.cursor);
        return message;
    }
  }
}
