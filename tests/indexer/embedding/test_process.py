import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest

from indexer.deadline import Deadline
from indexer.embedder.protocol import MAX_QUERY_TOKENS, CountTokens, encode_frame
from indexer.embedding import EmbedderDied, EmbedderOptions, EmbedderProcess, EmbeddingFault, TextTooLong
from indexer.embedding.errors import NeverBegun
from indexer.embedding.jobs import MAX_WAITING
from indexer.embedding.life import WorkerLife
from indexer.embedding.process import MAX_SENT
from indexer.errors import BackendBusy, BackendStarting, BackendUnavailable, DeadlineExceeded
from tests.system.waiting import until

MANY_WORDS = "word " * 600

_STEPPED_BACK = """
import asyncio, os, sys
from pathlib import Path
from indexer.embedding import EmbedderOptions, EmbedderProcess
from indexer.priority import session_niceness, step_back
async def tell():
    step_back(7)
    embedder = await EmbedderProcess.start(EmbedderOptions(Path(sys.argv[1]), steps_back=int(sys.argv[2])))
    pid = embedder.pid
    print(pid, os.getsid(pid), os.getpriority(os.PRIO_PROCESS, pid), session_niceness(pid))
    await embedder.close()
asyncio.run(tell())
"""


def soon() -> Deadline:
    """Plenty of time."""
    return Deadline.after(60)


def worker_of(embedder: EmbedderProcess) -> int:
    """The process id, which must be there."""
    assert embedder.pid is not None
    return embedder.pid


async def gone(pid: int, *, within: float) -> None:
    """Wait until a process that is no child of this one has ended, or the time is up."""
    processes = [psutil.Process(pid)] if psutil.pid_exists(pid) else []
    await asyncio.to_thread(psutil.wait_procs, processes, within)


async def killed(embedder: EmbedderProcess) -> int:
    """Kill the process, and wait until the event loop has seen that; gives its id."""
    pid = worker_of(embedder)
    os.kill(pid, signal.SIGKILL)

    async def seen() -> bool:
        return embedder.pid != pid

    await until(seen, "the death is noticed")
    return pid


@pytest.mark.parametrize(("further", "in_all"), [(0, "7"), (5, "12")])
async def test_it_has_a_share_of_the_processors_to_itself(model_path: Path, further: int, in_all: str) -> None:
    """Linux shares them out among sessions; and it steps back as far as whoever it embeds for, or further."""
    command = [sys.executable, "-c", _STEPPED_BACK, str(model_path), str(further)]
    told = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    pid, session, niceness, of_session = told.stdout.split()
    assert session == pid
    assert niceness == in_all
    assert of_session in {"None", in_all}


async def test_the_model_is_described(embedder: EmbedderProcess, model_path: Path) -> None:
    """Dimensions, context and the file's own hash are known from the start."""
    description = embedder.description
    assert (description.architecture, description.dimensions, description.context_tokens) == ("bert", 384, 512)
    assert description.sha256 == hashlib.sha256(model_path.read_bytes()).hexdigest()


async def test_meaning_is_near(embedder: EmbedderProcess) -> None:
    """A paraphrase is nearer than another subject, and all vectors have unit length."""
    texts = ["read a file line by line", "iterate over the lines of a text", "the weather in Paris"]
    vectors = await embedder.embed_documents(texts, soon())
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


async def test_a_text_has_one_vector_whatever_its_company(embedder: EmbedderProcess) -> None:
    """Alone or among others, before or after: the cosine is one."""
    texts = ["alpha", "a much longer text about boundary layers " * 8, "gamma"]
    together = await embedder.embed_documents(texts, soon())
    for text, vector in zip(texts, together, strict=True):
        alone = await embedder.embed_documents([text], soon())
        assert float(alone[0] @ vector) >= 0.999


@pytest.mark.parametrize("text", ["", " ", "😀😀😀", "\0", "\u200b", "日本語の文章", "a" * 500])
async def test_odd_texts_have_finite_vectors(embedder: EmbedderProcess, text: str) -> None:
    """Nothing that a document may hold makes the model fail."""
    vectors = await embedder.embed_documents([text], soon())
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-5)


async def test_no_texts_have_no_vectors(embedder: EmbedderProcess) -> None:
    """An empty batch never reaches the model, which would decode an empty batch."""
    assert (await embedder.embed_documents([], soon())).shape == (0, 384)


async def test_the_context_is_a_hard_limit(embedder: EmbedderProcess) -> None:
    """A passage that fills the context to the last token is embedded; one token more is refused, never cut."""
    assert (await embedder.embed_documents(["word " * 510], soon())).shape == (1, 384)
    with pytest.raises(TextTooLong, match="513 tokens, the model reads 512"):
        await embedder.embed_documents(["fine", "word " * 511], soon())


async def test_a_long_query_is_cut_and_says_so(embedder: EmbedderProcess) -> None:
    """A query is searched by its beginning, and the caller learns of it."""
    whole, was_cut = await embedder.embed_query("word", soon())
    cut, cut_was_cut = await embedder.embed_query(MANY_WORDS, soon())
    assert (was_cut, cut_was_cut) == (False, True)
    assert whole.shape == cut.shape == (384,)
    fitting, was_cut = await embedder.embed_query(" ".join(["word"] * (MAX_QUERY_TOKENS - 2)), soon())
    assert not was_cut
    assert float(cut @ fitting) >= 0.99  # it is cut within a word


async def test_a_short_query_does_not_wait_for_long_ones(embedder: EmbedderProcess) -> None:
    """They came before it, and take many times as long; but for the one that is being computed, it is the first."""
    ends = list[str]()

    async def ask(text: str) -> None:
        await embedder.embed_query(text, soon())
        ends.append(text)

    long = [f"{number} {MANY_WORDS}" for number in range(6)]
    asking = [asyncio.create_task(ask(text)) for text in long]
    await asyncio.sleep(0)
    await asyncio.gather(*asking, ask("short"))
    assert ends.index("short") <= 1
    assert [text for text in ends if text != "short"] == long


async def test_a_short_query_is_embedded_before_the_answer_before_it_is_read(embedder: EmbedderProcess) -> None:
    """Where processors are short, that takes long: the process works on meanwhile, on a query that it has already."""
    pid = worker_of(embedder)
    document = asyncio.create_task(embedder.embed_documents(["word " * 500] * 32, soon()))
    await asyncio.to_thread(busy, pid)
    query = asyncio.create_task(embedder.embed_query("short", soon()))
    for _ in range(5):  # it is sent
        await asyncio.sleep(0)
    idle(pid)  # nobody reads an answer before this one returns
    os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(5):
            assert (await document).shape == (32, 384)
            assert (await query)[0].shape == (384,)
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_lone_surrogate_in_a_query_does_no_harm(embedder: EmbedderProcess) -> None:
    """It cannot be sent to the process, so something else is."""
    vector, _ = await embedder.embed_query("caf\ud800", soon())
    assert np.isfinite(vector).all()


async def test_tokens_are_counted_without_marks(embedder: EmbedderProcess) -> None:
    """The counts of words add up to the count of their text."""
    words, text = ["embeddings", "of", "antidisestablishmentarianism"], "embeddings of antidisestablishmentarianism"
    *each, whole, empty = await embedder.count_tokens([*words, text, ""], soon())
    assert (sum(each), empty) == (whole, 0)


async def test_it_recovers_from_kill_9(embedder: EmbedderProcess) -> None:
    """A process that died between two requests is started again, and the next request knows nothing of it."""
    for _ in range(3):
        pid = await killed(embedder)
        assert (await embedder.embed_documents(["alive"], soon())).shape == (1, 384)
        assert worker_of(embedder) != pid


async def test_it_is_started_again_before_anybody_asks(embedder: EmbedderProcess) -> None:
    """So the next query finds the model loaded, however long nobody asks."""
    for _ in range(2):
        pid = await killed(embedder)

        async def answers(pid: int = pid) -> bool:
            return embedder.pid not in {None, pid} and embedder.is_ready

        await until(answers, "it is started again", 20)
        vector, _ = await embedder.embed_query("alive", Deadline.after(1))
        assert vector.shape == (384,)


async def test_a_query_does_not_wait_for_a_start(embedder: EmbedderProcess) -> None:
    """One with little time is told at once, and one with plenty waits, as a document does."""
    await killed(embedder)
    began = time.monotonic()
    document = asyncio.create_task(embedder.embed_documents(["waits"], soon()))
    for ask in (embedder.embed_query("x", Deadline.after(1)), embedder.ping(Deadline.after(1))):
        with pytest.raises(BackendStarting, match="still starting"):
            await ask
    assert time.monotonic() - began < 0.4
    assert (await embedder.embed_query("x", soon()))[0].shape == (384,)
    assert (await document).shape == (1, 384)


async def test_a_query_behind_a_deadly_text_is_told_at_once(embedder: EmbedderProcess) -> None:
    """It waits neither for the new process nor behind the documents that do."""
    deadly = asyncio.create_task(embedder.embed_documents(["word " * 500] * 64, soon()))
    await asyncio.to_thread(busy, worker_of(embedder))
    waiting = asyncio.create_task(embedder.embed_documents(["short"], soon()))
    query = asyncio.create_task(embedder.embed_query("x", Deadline.after(20)))
    await killed(embedder)
    with pytest.raises(BackendStarting):
        await query
    assert not waiting.done()
    with pytest.raises(EmbedderDied):
        await deadly
    assert (await waiting).shape == (1, 384)


async def test_nothing_is_begun_by_a_process_that_has_ended(model_path: Path) -> None:
    """It did not die of this request, which can be sent to the next one."""
    life = await WorkerLife.spawn(EmbedderOptions(model_path))
    await life.describe()
    await life.stop()
    with pytest.raises(NeverBegun):
        await life.exchange(encode_frame(CountTokens(["x"])))


async def test_it_says_why_it_does_not_start_and_heals(model_path: Path, tmp_path: Path) -> None:
    """Who asks meanwhile gets the reason at once; when the model is there again, nobody has to do anything."""
    model = tmp_path / "model.gguf"
    shutil.copy(model_path, model)
    embedder = await EmbedderProcess.start(EmbedderOptions(model))
    content = model.read_bytes()
    model.unlink()
    await killed(embedder)

    async def told() -> bool:
        try:
            await embedder.embed_query("x", Deadline.after(1))
        except BackendUnavailable as exc:
            return "the embedder does not start: " in str(exc)
        return False

    async def answers() -> bool:
        return embedder.is_ready

    await until(told, "the reason is known", 30)
    for _ in range(3):
        with pytest.raises(BackendUnavailable, match="the embedder does not start: "):
            await embedder.embed_query("x", Deadline.after(1))
    model.write_bytes(content)
    await until(answers, "it is started again", 30)
    assert (await embedder.embed_query("x", Deadline.after(1)))[0].shape == (384,)
    await embedder.close()


async def test_a_death_over_a_request_is_reported_to_it_alone(embedder: EmbedderProcess) -> None:
    """The request that was in work fails; those that waited behind it are answered."""
    slow = asyncio.create_task(embedder.embed_documents(["word " * 500] * 64, soon()))
    await asyncio.to_thread(busy, worker_of(embedder))
    waiting = asyncio.create_task(embedder.embed_documents(["short"], soon()))
    os.kill(worker_of(embedder), signal.SIGABRT)
    with pytest.raises(EmbedderDied, match="status -6"):
        await slow
    assert (await waiting).shape == (1, 384)


def busy(pid: int) -> None:
    """Wait until a process computes."""
    process = psutil.Process(pid)
    idle = process.cpu_times().user
    while process.cpu_times().user < idle + 0.1:
        process.cpu_percent(0.05)


def idle(pid: int) -> None:
    """Wait until a process waits for something to do."""
    process = psutil.Process(pid)
    while process.status() != psutil.STATUS_SLEEPING:
        process.cpu_percent(0.01)


async def test_a_passed_deadline_leaves_the_others_in_step(embedder: EmbedderProcess) -> None:
    """The answer that nobody waits for any more is not taken for the next one's."""
    with pytest.raises(DeadlineExceeded):
        await embedder.embed_documents(["word " * 500] * 8, Deadline.after(0.01))
    alpha = await embedder.embed_documents(["alpha"], soon())
    assert float(alpha[0] @ (await embedder.embed_documents(["alpha"], soon()))[0]) >= 0.999


async def test_the_queue_is_bounded(embedder: EmbedderProcess) -> None:
    """Beyond the limit a request is refused at once instead of waiting for ever."""
    waiting = [asyncio.create_task(embedder.count_tokens(["a"], soon())) for _ in range(MAX_WAITING + MAX_SENT + 1)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BackendBusy)]
    assert len(refused) == 1
    assert [1] in outcomes


async def test_a_query_whose_turn_would_come_too_late_is_refused_at_once(embedder: EmbedderProcess) -> None:
    """Waiting for it would take its caller's time, and the answers of others; those before it are answered."""
    learning = time.monotonic()
    for number in range(30):  # by which it learns how long one takes
        await embedder.embed_query(f"a first query, number {number}", soon())
    in_time = 8 * (time.monotonic() - learning) / 30

    async def ask(number: int) -> float:
        began = time.monotonic()
        with pytest.raises(BackendBusy, match="requests are waiting"):
            await embedder.embed_query(f"another query, number {number}", Deadline.after(in_time))
        return time.monotonic() - began

    patient = asyncio.create_task(embedder.embed_query("one with time", soon()))
    asking = [asyncio.create_task(ask(number)) for number in range(MAX_WAITING - 2)]
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, float)]
    assert isinstance(outcomes[0], BaseException), "the first one's turn was near"
    assert len(refused) >= 10
    assert max(refused) < in_time
    await patient


async def test_a_query_without_patience_is_answered_where_none_is_before_it(embedder: EmbedderProcess) -> None:
    """It waits for no other, whatever time it has; the embedder is kept busy with what it may still take."""
    await embedder.embed_query("by which it learns how long one takes", soon())
    hasty = msgspec.structs.replace(soon(), patience=0.0)
    await embedder.embed_query("nobody else asks", hasty)
    others = [asyncio.create_task(embedder.embed_query(f"one with patience, number {n}", soon())) for n in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(BackendBusy, match="requests are waiting"):
        await embedder.embed_query("others ask", hasty)
    await asyncio.gather(*others)


async def test_what_a_query_takes_is_counted_from_the_answer_before_it(model_path: Path) -> None:
    """The process had it before, and was at work on another: what waits is not thought to take as long as both."""
    embedder = await EmbedderProcess.start(EmbedderOptions(model_path))
    began = time.monotonic()
    document = asyncio.create_task(embedder.embed_documents(["word " * 500] * 16, soon()))
    await asyncio.to_thread(busy, worker_of(embedder))
    behind = asyncio.create_task(embedder.embed_query("behind it", soon()))
    await document
    took = time.monotonic() - began
    await behind  # on average they took nine hundredths of that; counted twice, it would be nineteen
    others = [asyncio.create_task(embedder.embed_query(f"another, number {n}", soon())) for n in range(2)]
    await asyncio.sleep(0)
    assert (await embedder.embed_query("in time", Deadline.after(0.35 * took)))[0].shape == (384,)
    await asyncio.gather(*others)
    await embedder.close()


async def test_closing_ends_the_process(model_path: Path) -> None:
    """Nothing is left behind, and who still asks is told."""
    embedder = await EmbedderProcess.start(EmbedderOptions(model_path))
    pid = worker_of(embedder)
    asking = asyncio.create_task(embedder.embed_documents(["word " * 500] * 4, soon()))
    await asyncio.to_thread(busy, pid)
    await embedder.close()
    assert not psutil.pid_exists(pid)
    with pytest.raises(EmbedderDied):
        await asking


async def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    """A file that is missing or something else stops the start with its name."""
    with pytest.raises(EmbeddingFault, match=r"missing\.gguf cannot be read: No such file"):
        await EmbedderProcess.start(EmbedderOptions(tmp_path / "missing.gguf"))
    (tmp_path / "wrong.gguf").write_bytes(b"no model" * 100)
    with pytest.raises(EmbeddingFault, match=r"wrong\.gguf cannot be used"):
        await EmbedderProcess.start(EmbedderOptions(tmp_path / "wrong.gguf"))


_PARENT = """
    import asyncio, sys
    from pathlib import Path
    from indexer.deadline import Deadline
    from indexer.embedding import EmbedderOptions, EmbedderProcess

    async def main() -> None:
        embedder = await EmbedderProcess.start(EmbedderOptions(Path(sys.argv[1])))
        embedding = asyncio.create_task(embedder.embed_documents(["word " * 500] * 200, Deadline.after(600)))
        await asyncio.sleep(0)
        print(embedder.pid, flush=True)
        await embedding

    asyncio.run(main())
"""


async def test_it_dies_with_its_parent(model_path: Path) -> None:
    """A parent killed with -9 leaves no embedder behind, not even one that has much to compute yet."""
    script = [sys.executable, "-c", textwrap.dedent(_PARENT), str(model_path)]
    parent = await asyncio.create_subprocess_exec(*script, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    await asyncio.to_thread(busy, pid)
    parent.kill()
    await gone(pid, within=3)
    assert not psutil.pid_exists(pid)
    await parent.wait()
