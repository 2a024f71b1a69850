import { describeLedgerContract } from '../contracts/ledger-contract.ts';
import { describeLedgerFoldingContract } from '../contracts/ledger-folding-contract.ts';
import { openSqliteLedger } from '../support/ledger-subjects.ts';

describeLedgerContract('sqlite', openSqliteLedger);
describeLedgerFoldingContract('sqlite', openSqliteLedger);
