// Whether the JavaScript library of Standard Webhooks verifies deliveries: lines of {"secret", "headers", "body"}.
const { Webhook } = require("standardwebhooks");

function verifies(secret, headers, body) {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

const lines = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean);
let wrong = lines.length === 0 ? 1 : 0;
for (const line of lines) {
  const { secret, headers, body } = JSON.parse(line);
  if (!verifies(secret, headers, body) || verifies(secret, headers, `${body} `)) {
    console.error(`${headers["webhook-id"]}: not verified, or with another body too`);
    wrong += 1;
  }
}
process.exit(wrong === 0 ? 0 : 1);
