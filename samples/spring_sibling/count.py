"""A Python job beside a Spring Boot app: it reads the app's own spring.datasource.* properties."""

import azpg_bootstrap as azpg


def main() -> None:
    database = azpg.Database.from_env()
    connection = database.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user, count(*) FROM orders")
            role, orders = cursor.fetchone()
    finally:
        connection.close()
    print(f"{database.auth_method}: {role} counts {orders} orders")


if __name__ == "__main__":
    main()
