"""A list of tasks over HTTP: FastAPI, SQLAlchemy's async engine, and a token at each connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response, status
from pydantic import BaseModel
from sqlalchemy import Column, Identity, Integer, MetaData, Table, Text, func, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

import azpg_bootstrap as azpg

metadata = MetaData()
tasks = Table(
    "tasks",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("title", Text, nullable=False),
)

# An advisory lock, for replicas that start together not to create the table together.
CREATE_TABLES = 5302187

engine: AsyncEngine


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    global engine  # noqa: PLW0603 - one per process, made when its event loop runs
    # pool_pre_ping: a connection that died in the pool is replaced instead of handed out.
    engine = azpg.sqlalchemy_async_engine(azpg.Database.from_env(), pool_pre_ping=True)
    async with engine.begin() as connection:
        await connection.execute(select(func.pg_advisory_xact_lock(CREATE_TABLES)))
        await connection.run_sync(metadata.create_all)
    yield
    # Reached when uvicorn has answered the last request that was under way.
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


class Task(BaseModel):
    title: str


@app.get("/tasks")
async def list_tasks() -> list[Task]:
    async with engine.connect() as connection:
        rows = await connection.execute(select(tasks.c.title).order_by(tasks.c.id))
        return [Task(title=title) for (title,) in rows]


@app.post("/tasks", status_code=status.HTTP_201_CREATED)
async def add_task(task: Task) -> Task:
    async with engine.begin() as connection:
        await connection.execute(insert(tasks).values(title=task.title))
    return task


@app.get("/live")
async def live() -> None:
    """Say that this process can answer: a database that is away is no reason to restart it."""


@app.get("/ready")
async def ready(response: Response) -> str:
    """Say whether requests should come here: they should if the database answers."""
    try:
        async with engine.connect() as connection:
            role: str = (await connection.execute(select(func.current_user()))).scalar_one()
            return role
    except (DBAPIError, azpg.TokenError, OSError) as error:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return type(error).__name__
