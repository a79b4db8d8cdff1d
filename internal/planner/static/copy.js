// Puts a button before each query that copies it. Without a clipboard (no https) there is none.
"use strict";
if (navigator.clipboard) {
  for (const pre of document.querySelectorAll("details > pre")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(pre.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(pre);
        button.textContent = "Not allowed: press Ctrl-C";
      }
    });
    pre.before(button);
  }
}
