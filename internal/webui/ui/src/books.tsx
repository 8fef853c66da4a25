// An agent's books: what it wrote, and where that is.
import { number } from "./format";
import { HostFrame } from "./hostframe";
import { Coming, StateWord } from "./parts";
import { useLoad } from "./poll";
import { agent, type Book, books } from "./resources";
import { Link } from "./route";
import { balances, verdict } from "./verdict";

const columns: [key: keyof Book & string, name: string, about: string][] = [
  ["appended", "Written", "acknowledged by the agent’s log"],
  ["stored", "Stored", "in the database"],
  ["rejected", "Refused", "kept in the agent’s own dead letters"],
  ["quarantined", "Quarantined", "in the service’s dead letters"],
  ["lost", "Lost", "given up and declared by the agent"],
  ["in_flight", "On the way", "in the agent’s log, or travelling"],
];

export function HostBooks({ id }: { id: string }) {
  const { data, failure, since } = useLoad(async (abort) => Promise.all([agent(id, abort), books(id, abort)]), 3000, [id]);
  const [a, b] = data ?? [null, null];
  const v = b && verdict(b);
  const cells = (book: Book) =>
    columns.map(([key, name]) => (
      <td key={key} class={`right ${key === "lost" && book.lost ? "is-bad" : ""}`} data-name={name}>
        {number(book[key] as number)}
      </td>
    ));
  return (
    <HostFrame id={id} agent={a} newest={0} tab="books" missing={failure?.trouble === "missing"}>
      <Coming of={{ data: data, failure, since }} name="the books" />
      {b && v && (
        <>
          <section class={`card pad verdict ${v.kind}`} aria-label="Verdict">
            <p class="big">
              <StateWord kind={v.kind}>{v.word}</StateWord>
            </p>
            <p>
              {v.text} {b.total.quarantined > 0 && <Link to={`/admin/dead-letters?agent=${encodeURIComponent(id)}`}>See its dead letters</Link>}
            </p>
            <p class="sum" aria-label="The sum">
              {columns.map(([key, name, about], i) => (
                <span key={key} title={about}>
                  {i > 0 && <i>{i === 1 ? "=" : "+"}</i>}
                  <b>{number(b.total[key] as number)}</b> {name.toLowerCase()}
                </span>
              ))}
            </p>
          </section>
          <section class="card" aria-labelledby="epochs">
            <div class="top inner">
              <h2 id="epochs">
                By epoch <span class="note">one life of the agent’s log each</span>
              </h2>
            </div>
            <table class="list">
              <thead>
                <tr>
                  <th scope="col">Epoch</th>
                  {columns.map(([key, name, about]) => (
                    <th key={key} scope="col" class="right" title={about}>
                      {name}
                    </th>
                  ))}
                  <th scope="col" class="right" title="between settled records">Holes</th>
                  <th scope="col" class="right">Samples</th>
                  <th scope="col">Verdict</th>
                </tr>
              </thead>
              <tbody>
                {b.epochs.map((e) => (
                  <tr key={e.epoch}>
                    <th scope="row">
                      <code>{e.epoch}</code>
                    </th>
                    {cells(e)}
                    <td class="right" data-name="Holes">{e.holes}</td>
                    <td class="right" data-name="Samples">{number(e.samples)}</td>
                    <td data-name="Verdict">{e.forked ? <StateWord kind="bad">forked</StateWord> : balances(e) ? <StateWord kind={e.lost ? "warn" : "good"}>balances</StateWord> : <StateWord kind="bad">does not balance</StateWord>}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
          <p class="note foot">
            <code>sentinelctl agent audit {id}</code> says the same; on the host, <code>--wal</code> compares the log there with these books.
          </p>
        </>
      )}
    </HostFrame>
  );
}
