// Asks for an API key where the API needs one.
import { byId, dialogOf, inputOf } from "./dom.js";
import { keys, setKey } from "./transport.js";

/** Prepares the dialog, which opens when the API refuses a request for its key. */
export function prepareKeyDialog() {
  keys.ask = (refused) => {
    byId("key-error").textContent = refused;
    if (!dialogOf("key-dialog").open) dialogOf("key-dialog").showModal();
  };
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setKey(inputOf("key-input").value.trim());
    location.reload();
  });
}
