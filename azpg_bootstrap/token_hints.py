"""What it means that no token could be had, and what to do about it.

The texts are Entra's error codes, those of the identity endpoints and azure-identity's own; each is
matched by a piece of it, in any case. Sources: Microsoft's list of Entra error codes, its pages on
managed identities, azure-identity's code, and the reports of users in public issue threads.
"""

from typing import Final

from azpg_bootstrap.hints import Hint

HINTS: Final = (
    Hint(
        "endpoint-hidden",
        ("Managed identity has been configured. This value is not viewable", "No connection adap"),
        "This session hides the identity endpoint, as App Service does in its SSH console. Run the "
        "program where the app itself runs, such as in its startup command.",
        lasts=True,
    ),
    Hint(
        "no-system-identity",
        ("for system-assigned: HTTP 400",),
        "This host has no system-assigned identity. Switch it on, or set AZURE_POSTGRESQL_CLIENTID "
        "to the client id of a user-assigned one.",
        lasts=True,
        commands=("{assign_identity}",),
    ),
    Hint(
        "identity-unknown",
        ("Identity not found", "No User Assigned", "identity endpoint .* HTTP 400"),
        "This host does not have the identity of that client id. Assign it to the app, or correct "
        "AZURE_POSTGRESQL_CLIENTID: it is the client id, neither the object id nor the name.",
        lasts=True,
        commands=("{assign_identity}",),
    ),
    Hint(
        "secret-refused",
        ("AADSTS7000215",),
        "The client secret is wrong or has expired. Put the secret's value, not its id, into "
        "AZURE_POSTGRESQL_CLIENTSECRET; a lost one cannot be read again, only made anew.",
        lasts=True,
        commands=("az ad app credential reset --id {client_id} --append",),
    ),
    Hint(
        "secret-expired",
        ("AADSTS7000222",),
        "The client secret has expired. Make a new one for AZURE_POSTGRESQL_CLIENTSECRET.",
        lasts=True,
        commands=("az ad app credential reset --id {client_id} --append",),
    ),
    Hint(
        "app-unknown",
        ("AADSTS700016",),
        "The tenant has no application of that client id. Check AZURE_POSTGRESQL_CLIENTID and "
        "AZURE_POSTGRESQL_TENANTID.",
        lasts=True,
        commands=("az ad sp show --id {client_id}",),
    ),
    Hint(
        "tenant-unknown",
        ("AADSTS90002", "AADSTS900023", "authority configuration", "invalid tenant"),
        "The tenant does not exist, in this cloud at least. Check AZURE_POSTGRESQL_TENANTID.",
        lasts=True,
        commands=("az account show --query tenantId",),
    ),
    Hint(
        "federation",
        ("AADSTS70021", "AADSTS700024", "AADSTS50013", "AADSTS50027"),
        "Entra did not accept what the cluster says about this pod. Compare issuer, subject and "
        "audience of the identity's federated credential with the pod's service account.",
        lasts=True,
        commands=(
            "az identity federated-credential list --resource-group <group> "
            "--identity-name <identity>",
        ),
    ),
    Hint(
        "scope-unknown",
        ("AADSTS500011", "AADSTS1002012"),
        "The tenant has no such resource: AZURE_POSTGRESQL_SCOPE is wrong, or of another cloud.",
        lasts=True,
    ),
    Hint(
        "login-in-another-tenant",
        ("AADSTS50020", "AADSTS90072", "AADSTS50034"),
        "You are logged in with an account that the tenant does not have. Log in to the server's.",
        lasts=True,
        commands=("az login --tenant <tenant of the server>",),
    ),
    Hint(
        "login-out-of-date",
        ("AADSTS700082", "AADSTS50173", "AADSTS5007[69]", "AADSTS70043", "az login --scope"),
        "Your login has expired, or has to be proved once more.",
        lasts=True,
        commands=("az login --scope {scope}",),
    ),
    Hint(
        "no-identity-here",
        ("DefaultAzureCredential failed", "ManagedIdentityCredential authentication unavailable"),
        "There is no identity here. On Azure, give the app one; on your own machine, log in with "
        "az login and set AZURE_POSTGRESQL_AUTH=developer.",
        commands=("{assign_identity}",),
    ),
    Hint(
        "not-logged-in",
        ("Please run 'az login'", "run 'azd auth login'"),
        "You are not logged in. Do so, in the server's tenant if you have several.",
        lasts=True,
        commands=("az login",),
    ),
    Hint(
        "no-azure-cli",
        ("Azure CLI not found on path",),
        "Auth method developer asks Azure CLI or Azure Developer CLI, and neither is installed. "
        "Install one of them and log in.",
        lasts=True,
        commands=("az login",),
    ),
    Hint(
        "federated-token-missing",
        (r"No such file or directory",),
        "AZURE_FEDERATED_TOKEN_FILE names a file that is not there. Give the pod the label "
        'azure.workload.identity/use: "true" and the service account that was made for it.',
        lasts=True,
    ),
    Hint(
        "endpoint-refuses",
        ("HTTP 40[013]",),
        "The endpoint refuses this process. Is the identity assigned to this host, and is this the "
        "app itself, where the platform has set its variables?",
    ),
    Hint(
        "throttled",
        ("HTTP 429",),
        "Too many requests from this host: keep one process's token for all its connections, and "
        "start fewer processes at a time.",
    ),
    Hint(
        "endpoint-fails",
        ("HTTP 5[0-9][0-9]", "HTTP 404", "HTTP 410"),
        "The service that issues tokens has trouble, which passes by itself. If it stays, look at "
        "Azure's status page, and restart the app.",
    ),
    Hint(
        "endpoint-unreachable",
        (
            "refused",
            "unreachable",
            "not known",
            "resolution",
            "timed out",
            "no answer in time",
            "does not answer",
        ),
        "Nothing answers at the endpoint. Is an identity switched on for this host, and does a "
        "proxy stand between? NO_PROXY should list the endpoint's address.",
    ),
)
"""What the text of a TokenError means, with the HTTP status that it came with."""
