"""Tokens of issuers, as their documentation shows them (docs/issuers.md): the claims as JSON, before API Gateway.

Where no page has a whole token, as for most machines, the claims follow its description. None is from a real account.

An issuer has the parameters of the template that accept its tokens, and the claims of these tokens:

- `user`: the access token of a user.
- `scope`: what is added if an application of this issuer gets the service scope for a user.
- `machine`: the access token of a backend that acts on its own.
- `editable`: claims with values that the user can write. `{tenant}` and `{space}` stand for what an attacker wants.
"""

from dataclasses import dataclass
from typing import Any

from local.tokens import make_token

type Claims = dict[str, Any]

# What `make_token` adds for Cognito, and a token of another issuer does not have.
_NOT_EVERYWHERE = dict.fromkeys(("username", "client_id", "token_use", "scope", "jti"))


@dataclass(frozen=True)
class Issuer:
    """An issuer: its settings and its tokens. `pages` is the documentation that shows them."""

    pages: tuple[str, ...]
    parameters: dict[str, str]
    user: Claims
    scope: Claims
    machine: Claims
    editable: Claims

    def token(self, claims: Claims, expires_in: float = 3600) -> str:
        """Return a token with these claims, signed with the local key."""
        whole = self.whole(claims)
        return make_token(whole.pop("sub"), expires_in=expires_in, **whole)

    def whole(self, claims: Claims) -> Claims:
        """Return the claims with the issuer. None removes a claim that the local tokens have otherwise."""
        return {**_NOT_EVERYWHERE, "iss": self.parameters["JwtIssuer"], **claims}

    @property
    def tokens(self) -> dict[str, Claims]:
        """The claims of its tokens by kind."""
        without = {name: value for name, value in self.machine.items() if name not in {"scope", "scp", "roles"}}
        return {
            "user": self.user,
            "user with the scope": {**self.user, **self.scope},
            "machine": self.machine,
            "machine without the scope": without,
        }

    @property
    def application(self) -> str:
        """The application that the user's token names."""
        return str(self.user.get("azp") or self.user.get("client_id") or self.user["aud"])

    @property
    def tenant(self) -> str:
        """The tenant of the user and of the machine."""
        return str(self.user[self.parameters["TenantClaim"]])


ISSUERS = {
    "Cognito": Issuer(
        pages=(
            "https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html",
            "https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-token-generation.html",
        ),
        parameters={
            "JwtIssuer": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_example",
            "JwtAudience": "1example23456789,7backend",
            "ServiceScope": "tasks/service",
            "TenantClaim": "tenant",
            "SpacesClaim": "cognito:groups",
        },
        user={
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "username": "my-test-user",
            "cognito:groups": ["household-1", "household-2"],
            "client_id": "1example23456789",
            "token_use": "access",
            "version": 2,
            "scope": "phone openid profile email",
            "tenant": "acme",
        },
        scope={"scope": "openid tasks/service"},
        machine={
            "sub": "7backend",
            "client_id": "7backend",
            "token_use": "access",
            "version": 2,
            "scope": "tasks/service",
            "tenant": "acme",
        },
        editable={"custom:tenant": "{tenant}", "custom:spaces": "{space}"},
    ),
    "Auth0": Issuer(
        pages=(
            "https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles",
            "https://auth0.com/docs/manage-users/organizations/using-tokens",
        ),
        parameters={
            "JwtIssuer": "https://my-domain.auth0.com/",
            "JwtAudience": "https://tasks.example.org",
            "ServiceScope": "tasks:service",
            "TenantClaim": "org_id",
            "SpacesClaim": "https://tasks.example.org/spaces",
        },
        user={
            "sub": "auth0|123456",
            "aud": ["https://tasks.example.org", "https://my-domain.auth0.com/userinfo"],
            "azp": "my_client_id",
            "scope": "openid profile",
            "org_id": "org_9ybsU1dN2dKfDkBi",
            "https://tasks.example.org/spaces": ["team-1"],
        },
        scope={"scope": "openid profile tasks:service", "permissions": ["tasks:service"]},
        machine={
            "sub": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients",
            "aud": "https://tasks.example.org",
            "azp": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx",
            "gty": "client-credentials",
            "scope": "tasks:service",
            "org_id": "org_9ybsU1dN2dKfDkBi",
        },
        editable={
            "https://tasks.example.org/user_metadata": {
                "org_id": "{tenant}",
                "https://tasks.example.org/spaces": ["{space}"],
            }
        },
    ),
    "Entra ID, delegated permission": Issuer(
        pages=("https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference",),
        parameters=(
            entra := {
                "JwtIssuer": "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
                "JwtAudience": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
                "ServiceScope": "Tasks.Service",
                "TenantClaim": "tid",
                "SpacesClaim": "groups",
            }
        ),
        user=(
            entra_user := {
                "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
                "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
                "azp": "2c1e5b0e-0c07-4d3b-9b0c-4b7e3a9f7a10",
                "azpacr": "0",
                "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
                "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47",
                "scp": "Tasks.Use",
                "groups": ["0f4c7b9e-1111-4a4a-8d8d-2b2b2b2b2b2b"],
                "ver": "2.0",
            }
        ),
        scope={"scp": "Tasks.Use Tasks.Service"},
        machine=(
            entra_machine := {
                "sub": "5a3c9d1e-7b2f-4c8e-9d0a-1f2e3d4c5b6a",
                "oid": "5a3c9d1e-7b2f-4c8e-9d0a-1f2e3d4c5b6a",
                "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
                "azp": "8d7c6b5a-4f3e-4d2c-8b1a-0f9e8d7c6b5a",
                "azpacr": "1",
                "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47",
                "roles": ["Tasks.Service"],
                "ver": "2.0",
            }
        ),
        editable=(entra_editable := {"name": "{tenant}", "preferred_username": "{space}"}),
    ),
    "Entra ID, app role of a user": Issuer(
        pages=("https://learn.microsoft.com/en-us/entra/identity-platform/howto-add-app-roles-in-apps",),
        parameters=entra,
        user=entra_user,
        scope={"roles": ["Reader", "Tasks.Service"]},
        machine=entra_machine,
        editable=entra_editable,
    ),
    "Clerk": Issuer(
        pages=(
            "https://clerk.com/docs/guides/sessions/session-tokens",
            "https://clerk.com/docs/guides/sessions/jwt-templates",
            "https://clerk.com/changelog/2026-02-24-m2m-jwt-tokens",
        ),
        parameters={
            "JwtIssuer": "https://clean-mayfly-62.clerk.accounts.dev",
            "JwtAudience": "tasks",
            "ServiceScope": "tasks/service",
            "TenantClaim": "tenant",
            "SpacesClaim": "spaces",
        },
        user={
            "sub": "user_1deJLArSTiWiF1YdsEWysnhJLLY",
            "aud": "tasks",
            "azp": "http://localhost:3000",
            "fva": [7, -1],
            "o": {"id": "org_123", "slg": "org-slug", "rol": "admin"},
            "sid": "sess_123",
            "v": 2,
            "tenant": "org_123",
            "spaces": ["household-1"],
        },
        scope={"scope": "tasks/service"},
        machine={
            "sub": "mch_1xxxxxxxxxxxxx",
            "aud": "tasks",
            "jti": "mt_1xxxxxxxxxxxxx",
            "scopes": "mch_2xxxxxxxxxxxxx",
            "scope": "tasks/service",
            "tenant": "org_123",
        },
        editable={"unsafe_meta": {"tenant": "{tenant}", "spaces": ["{space}"]}},
    ),
    "Keycloak": Issuer(
        pages=(
            "https://www.keycloak.org/docs/latest/server_admin/#audience-support",
            "https://www.keycloak.org/docs/latest/server_admin/#_service_accounts",
        ),
        parameters={
            "JwtIssuer": "https://sso.example.org/realms/demo",
            "JwtAudience": "tasks",
            "ServiceScope": "tasks-service",
            "TenantClaim": "tenant",
            "SpacesClaim": "groups",
        },
        user={
            "sub": "5c6cb8a4-7b7a-4a55-8c04-0e1a2f6b9f11",
            "aud": ["tasks", "account"],
            "azp": "web",
            "typ": "Bearer",
            "realm_access": {"roles": ["offline_access", "uma_authorization"]},
            "scope": "openid email profile",
            "groups": ["household-1"],
            "tenant": "acme",
        },
        scope={"scope": "openid email profile tasks-service"},
        machine={
            "sub": "d952cf23-bf92-4c8f-a3ff-4972b4f2bc5b",
            "aud": "tasks",
            "azp": "backend",
            "typ": "Bearer",
            "preferred_username": "service-account-backend",
            "scope": "email profile tasks-service",
            "tenant": "acme",
        },
        editable={"given_name": "{tenant}", "family_name": "{space}"},
    ),
    "Firebase": Issuer(
        pages=(
            "https://firebase.google.com/docs/auth/admin/verify-id-tokens",
            "https://firebase.google.com/docs/auth/admin/custom-claims",
        ),
        parameters={
            "JwtIssuer": "https://securetoken.google.com/my-project",
            "JwtAudience": "my-project",
            "ServiceScope": "tasks/service",
            "TenantClaim": "tenant",
            "SpacesClaim": "spaces",
        },
        user={
            "sub": "gG2XYVQ5cJMUrJw2tEwrCQ1xYtf1",
            "user_id": "gG2XYVQ5cJMUrJw2tEwrCQ1xYtf1",
            "aud": "my-project",
            "auth_time": 1_700_000_000,
            "firebase": {"identities": {}, "sign_in_provider": "password"},
            "tenant": "acme",
            "spaces": ["household-1"],
        },
        scope={"scope": "tasks/service"},
        machine={
            "sub": "backend",
            "user_id": "backend",
            "aud": "my-project",
            "auth_time": 1_700_000_000,
            "firebase": {"identities": {}, "sign_in_provider": "custom"},
            "scope": "tasks/service",
            "tenant": "acme",
        },
        editable={"name": "{tenant}", "picture": "{space}"},
    ),
}
