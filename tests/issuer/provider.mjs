// An OpenID Connect provider for tests, with oidc-provider. It prints its issuer.
//
// A client that asks for one of the resources in BAD gets a token that differs from a good one in one way, and that the
// provider has signed as any other. POST /rotate/keep adds a key, which signs from then on; POST /rotate/drop removes all others.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const API = "https://tasks.example";
const BAD = {
  "urn:expired": { payload: { exp: 1 } },
  "urn:other-audience": { payload: { aud: "https://other.example" } },
  "urn:other-issuer": { payload: { iss: "https://other.example" } },
  "urn:es256": { alg: "ES256" },
  "urn:rs512": { alg: "RS512" },
};

const newKey = (type, options) => {
  const jwk = generateKeyPairSync(type, options).privateKey.export({ format: "jwk" });
  return { ...jwk, kid: randomUUID(), use: "sig" };
};
const rsa = () => newKey("rsa", { modulusLength: 2048 });
const es256 = newKey("ec", { namedCurve: "P-256" });
let keys = [rsa()];

const client = (id, more) => ({ client_id: id, response_types: [], redirect_uris: [], ...more });
const machine = (id, secret) => client(id, { client_secret: secret, grant_types: ["client_credentials"] });
const clients = [
  machine(process.env.BACKEND ?? "backend", process.env.SECRET ?? "secret"),
  machine("stranger", "secret"),
  client("app", {
    token_endpoint_auth_method: "none",
    application_type: "native", // which may have a redirect URI with http on this machine
    response_types: ["code"],
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: ["http://127.0.0.1/callback"], // on any port
  }),
];

const make = (issuer) => {
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys: [...keys, es256] },
    scopes: ["openid", "email", "profile", "tasks/service"],
    cookies: { keys: ["a key"] },
    clientBasedCORS: () => true,
    issueRefreshToken: () => true, // as Cognito does
    ttl: { AccessToken: 3600, ClientCredentials: 3600, Grant: 3600, IdToken: 3600, Interaction: 3600, Session: 3600 },
    formats: {
      customizers: {
        jwt: (_, token, jwt) => Object.assign(jwt.payload, BAD[token.resourceServer?.identifier()]?.payload),
      },
    },
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => API,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          audience: API,
          scope: "openid email profile tasks/service",
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: BAD[resource]?.alg ?? "RS256" } },
        }),
      },
    },
  });
  return provider.callback();
};

let respond;
const server = createServer((request, response) => {
  const rotate = request.url.match(/^\/rotate\/(keep|drop)$/);
  if (!rotate) return respond(request, response);
  keys = rotate[1] === "keep" ? [rsa(), ...keys] : keys.slice(0, 1);
  respond = make(issuer);
  response.end();
});
let issuer;
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  respond = make(issuer);
  console.log(issuer);
});
