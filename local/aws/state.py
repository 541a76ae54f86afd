"""A directory that keeps tables and buckets beyond the life of a process.

`state.sqlite3` holds them: SQLite's write-ahead log gives every frame a checksum, and a transaction counts once its
commit frame is there, so that a record that was torn by a crash is dropped when the file is opened again
(sqlite.org/fileformat2.html, "The Write-Ahead Log"). `lock` is held as long as a process works on the directory.
"""

import contextlib
import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

STATE_VERSION = 3
"""Raised whenever what an earlier version has written can no longer be read, the items' own content included."""

_DATABASE = "state.sqlite3"
_LOCK = "lock"
_WORK = "work"
_OWN_NAMES = frozenset({_DATABASE, f"{_DATABASE}-wal", f"{_DATABASE}-shm", f"{_DATABASE}-journal", _LOCK, _WORK})

_SETTINGS = (
    "PRAGMA locking_mode = EXCLUSIVE",  # no other process may look: it saves the shared memory of the log
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # in WAL mode: the log is synced after each transaction (sqlite.org/pragma.html)
    "PRAGMA fullfsync = ON",  # macOS: a plain fsync does not reach the disk (sqlite.org/pragma.html); no-op elsewhere
)
# What was deleted stays as a row without content: so every change, and all changes of a request, are one statement.
_SCHEMA = (
    "CREATE TABLE items (table_name TEXT, key TEXT, item TEXT, PRIMARY KEY (table_name, key)) WITHOUT ROWID",
    "CREATE TABLE objects (bucket TEXT, key TEXT, content BLOB, PRIMARY KEY (bucket, key))",
    "CREATE TABLE documents (name TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID",
    f"PRAGMA user_version = {STATE_VERSION}",
)

Item = dict[str, Any]
"""An item as DynamoDB's API writes it: `{"pk": {"S": "..."}}`."""


class StateDirectoryError(Exception):
    """The directory cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class ItemChange:
    """What an item is from now on; None where it is deleted. `key` holds the key attributes alone."""

    table: str
    key: Item
    item: Item | None


@dataclass(frozen=True)
class ObjectChange:
    """What an object's content is from now on; None where it is deleted."""

    bucket: str
    key: str
    content: bytes | None


class StateDirectory:
    """Tables, buckets and documents on disk; for one process at a time.

    A write has reached the disk when the method returns. After the first that fails every other is refused, so that
    nobody goes on with what the disk does not have.

    Args:
        path: the directory; it is made when it is not there.

    Raises:
        StateDirectoryError: it is in use, of another version, damaged, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.failure: StateDirectoryError | None = None
        self._guard = threading.Lock()
        with contextlib.ExitStack() as undo:
            try:
                self._make_directory()
                self._lock_file = undo.enter_context(self._take_lock())
                self._connection = undo.enter_context(contextlib.closing(self._open_database()))
                self._check_version()
            except OSError as error:
                raise StateDirectoryError(
                    f"The state directory {self.path} cannot be used ({error.strerror}); give another one."
                ) from error
            except (
                sqlite3.OperationalError
            ) as error:  # the disk is full, read-only or at fault, whatever the file holds
                raise StateDirectoryError(
                    f"The state directory {self.path} cannot be used ({error}): make room, mend the disk, end "
                    "what else has it open, or give another directory."
                ) from error
            except sqlite3.DatabaseError as error:
                raise self._damaged(error) from error
            self._close = undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the directory free for another process."""
        self._close.close()

    @staticmethod
    def is_in(directory: Path) -> bool:
        """Whether a directory holds what a state directory keeps; to open one that does not makes it one."""
        return (directory / _DATABASE).exists()

    @property
    def work_dir(self) -> Path:
        """A place inside for files that need not outlive the process."""
        return self.path / _WORK

    # -- reading

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Every reader may meet a damaged page, however far it was read before.

        Raises:
            StateDirectoryError: the database is damaged.
        """
        try:
            yield
        except (sqlite3.DatabaseError, ValueError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> StateDirectoryError:
        return StateDirectoryError(
            f"{self.path / _DATABASE} cannot be read ({error}): it is damaged or no state at all. Give another "
            "directory; a damaged one is put back from a backup."
        )

    def items(self) -> Iterator[tuple[str, Item]]:
        """Every item with the name of its table."""
        with self._reading():
            for table, item in self._connection.execute("SELECT table_name, item FROM items WHERE item IS NOT NULL"):
                yield table, json.loads(item)

    def objects(self) -> Iterator[tuple[str, str, bytes]]:
        """Bucket, key and content of every object."""
        with self._reading():
            yield from self._connection.execute("SELECT bucket, key, content FROM objects WHERE content IS NOT NULL")

    def object(self, key: str) -> bytes | None:
        """The content of one object; None where there is none. It is looked for in the one bucket that a stack has."""
        statement = "SELECT content FROM objects WHERE bucket = (SELECT bucket FROM objects LIMIT 1) AND key = ?"
        with self._guard, self._reading():  # readers are threads
            row = self._connection.execute(statement, [key]).fetchone()
        return None if row is None else row[0]

    def documents(self) -> dict[str, str]:
        """Every document by its name."""
        with self._guard, self._reading():  # as above
            return dict(self._connection.execute("SELECT name, content FROM documents"))

    # -- writing

    def record_items(self, *changes: ItemChange) -> None:
        """Keep some changes of items: all of them or none.

        Raises:
            StateDirectoryError: they cannot be written, such as where the disk is full.
        """
        rows = ", ".join(["(?, ?, ?)"] * len(changes))
        values = [value for change in changes for value in _row_of(change)]
        self._write(f"INSERT OR REPLACE INTO items VALUES {rows}", values)

    def record_object(self, change: ObjectChange) -> None:
        """Keep a change of an object.

        Raises:
            StateDirectoryError: it cannot be written.
        """
        self._write("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)", [change.bucket, change.key, change.content])

    def keep_document(self, name: str, content: str) -> None:
        """Keep a text under a name, replacing what was there.

        Raises:
            StateDirectoryError: it cannot be written.
        """
        self._write("INSERT OR REPLACE INTO documents VALUES (?, ?)", [name, content])

    def _write(self, statement: str, values: Sequence[str | bytes | None]) -> None:
        """Carry out one statement, which is one transaction.

        Explicit transactions of several statements would take three times as long beside busy threads: Python lets
        them in at each call of SQLite.
        """
        with self._guard:
            if self.failure is not None:
                raise self.failure
            try:
                self._connection.execute(statement, values)
            except sqlite3.Error as error:
                self.failure = StateDirectoryError(
                    f"The state directory {self.path} cannot be written ({error}). What was acknowledged is kept: make "
                    "room, or mend the disk, and resume the run."
                )
                raise self.failure from error

    # -- opening

    def _make_directory(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {entry.name for entry in self.path.iterdir()}
        foreign = sorted(names - _OWN_NAMES)
        if foreign and _DATABASE not in names:  # what others leave in a state directory, as a file manager, is let be
            raise StateDirectoryError(
                f"{self.path} holds other things, such as {foreign[0]}: it is no state directory. Give one that is new "
                "or empty."
            )
        self.path.chmod(0o700)  # rows of business data lie here

    @contextlib.contextmanager
    def _take_lock(self) -> Iterator[IO[str]]:
        with os.fdopen(os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StateDirectoryError(
                    f"The state directory {self.path} is in use by process {file.read().strip() or 'unknown'}; wait "
                    "for its end, or give another directory."
                ) from error
            file.truncate()
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield file

    def _open_database(self) -> sqlite3.Connection:
        database = self.path / _DATABASE
        os.close(os.open(database, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its log the same mode
        _sync_directory(self.path)
        _sync_directory(self.path.parent)
        connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        try:
            for setting in _SETTINGS:
                connection.execute(setting)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _check_version(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                self._connection.execute(statement)
            self._connection.execute("COMMIT")
        elif version != STATE_VERSION:
            raise StateDirectoryError(
                f"The state directory {self.path} has version {version}, and this program reads version "
                f"{STATE_VERSION}: use the program that has written it, or give another directory."
            )


def _row_of(change: ItemChange) -> tuple[str, str, str | None]:
    item = None if change.item is None else json.dumps(change.item)
    return change.table, json.dumps(change.key, sort_keys=True), item


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
