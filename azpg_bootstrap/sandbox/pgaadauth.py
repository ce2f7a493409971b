"""Entra's roles as a flexible server keeps them: functions and labels in database postgres.

Signatures, labels and the rule that an administrator calls them are those of Microsoft's page
"Manage Microsoft Entra roles". One thing is missing: the statement SECURITY LABEL needs a library
that only Azure has, so here the functions write the labels themselves.
"""

from dataclasses import dataclass
from typing import cast

from .identities import IDENTITIES, TENANT_ID, Kind

ADMIN_GROUP = "azure_pg_admin"
ENTRA_GROUP = "azure_ad_user"

LABEL_OF = """
SELECT l.label FROM pg_shseclabel l JOIN pg_roles r ON r.oid = l.objoid
WHERE r.rolname = %s AND l.classoid = 'pg_authid'::regclass AND l.provider = 'pgaadauth'
"""

INSTALL = """
CREATE FUNCTION pgaadauth_create_principal_with_oid(
    "roleName" text, "objectId" text, "objectType" text, "isAdmin" boolean, "isMfa" boolean
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET allow_system_table_mods = on SET search_path = pg_catalog AS $$
BEGIN
    IF "objectType" NOT IN ('user', 'group', 'service') THEN
        RAISE 'Invalid object type "%".', "objectType";
    END IF;
    EXECUTE format('CREATE ROLE %I LOGIN IN ROLE azure_ad_user', "roleName");
    IF "isAdmin" THEN
        EXECUTE format('GRANT azure_pg_admin TO %I WITH ADMIN OPTION', "roleName");
        EXECUTE format('ALTER ROLE %I CREATEROLE CREATEDB', "roleName");
    END IF;
    INSERT INTO pg_shseclabel (objoid, classoid, provider, label)
    SELECT oid, 'pg_authid'::regclass, 'pgaadauth', concat_ws(',', 'aadauth', 'oid=' || "objectId",
        'type=' || "objectType", CASE WHEN "isAdmin" THEN 'admin' END)
    FROM pg_roles WHERE rolname = "roleName";
    RETURN format('Created role for "%s"', "roleName");
END $$;

CREATE FUNCTION pgaadauth_create_principal(
    "roleName" text, "isAdmin" boolean, "isMfa" boolean
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_catalog AS $$
DECLARE
    found record;
BEGIN
    SELECT * INTO found FROM sandbox_tenant WHERE name = "roleName";
    IF found IS NULL THEN
        RAISE 'Could not validate AAD user % because its name is not found in the tenant',
            "roleName";
    END IF;
    RETURN pgaadauth_create_principal_with_oid(
        "roleName", found.oid, found.type, "isAdmin", "isMfa");
END $$;

CREATE FUNCTION pgaadauth_list_principals("isAdminValue" boolean) RETURNS TABLE (
    rolename name, "principalType" text, "objectId" text, "tenantId" text, "isMfa" integer,
    "isAdmin" integer
) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT r.rolname, substring(l.label FROM 'type=([a-z]+)'),
        substring(l.label FROM 'oid=([^,]+)'), (SELECT tenant FROM public.sandbox_tenant LIMIT 1),
        0, (l.label LIKE '%,admin')::integer
    FROM pg_shseclabel l JOIN pg_roles r ON r.oid = l.objoid
    WHERE l.provider = 'pgaadauth' AND (l.label LIKE '%,admin' OR NOT "isAdminValue")
$$;

DO $$
DECLARE
    signature text;
BEGIN
    FOR signature IN SELECT oid::regprocedure FROM pg_proc WHERE proname LIKE 'pgaadauth%' LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO azure_pg_admin', signature);
    END LOOP;
END $$;
"""

TENANT = """
CREATE TABLE sandbox_tenant AS
SELECT *, %s AS tenant FROM unnest(%s, %s, %s) AS identity (name, oid, type)
"""
"""Whom pgaadauth_create_principal finds by name."""


@dataclass(frozen=True)
class Label:
    """What is bound to a role: an object of the tenant, and of which kind it is."""

    object_id: str
    kind: Kind


def parse_label(text: str) -> Label:
    """Read what INSTALL's functions have written."""
    words = dict(word.partition("=")[::2] for word in text.split(","))
    return Label(words["oid"], cast(Kind, words["type"]))


def tenant() -> tuple[str, list[str], list[str], list[str]]:
    """Return the tenant's id, and the names, object ids and types of all in it."""
    known = [(each.display_name, each.object_id, each.kind) for each in IDENTITIES.values()]
    names, object_ids, kinds = zip(*known, strict=True)
    return TENANT_ID, list(names), list(object_ids), list(kinds)
