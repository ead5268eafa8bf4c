// All keys that are bound now, with what each does.

import { inForce } from "../keys";
import { t } from "../words";

export function Keys() {
  return (
    <table class="fields">
      <tbody>
        {inForce().map(({ keys, says }) => (
          <tr key={keys}>
            <th scope="row">
              {keys.split(" ").map((each) => (
                <kbd key={each}>{each}</kbd>
              ))}
            </th>
            <td>{t(says)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
