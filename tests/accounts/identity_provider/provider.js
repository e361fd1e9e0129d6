// A campus identity provider for the tests: oidc-provider with its own sign-in pages; anybody exists there.
// node provider.js <port> <client id> <client secret> <redirect address>
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [port, client_id, client_secret, redirect_uri] = process.argv.slice(2);
const found = createRequire(`${process.cwd()}/x.js`).resolve("oidc-provider");
const { Provider } = await import(pathToFileURL(found));

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id, client_secret, redirect_uris: [redirect_uri] }],
  claims: { openid: ["sub"], profile: ["name"], email: ["email"] },
  pkce: { required: () => true },
  findAccount: (ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, name: `Name of ${sub}`, email: `${sub}@campus.example` }),
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
