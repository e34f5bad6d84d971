import { presenceStoreContract, presenceStoreStatementsContract } from '../../suites/presence-store.ts';
import { presenceStoreBlocksContract } from '../../suites/presence-store-blocks.ts';
import { presenceStoreEndsContract } from '../../suites/presence-store-ends.ts';
import { presenceStoreGroupsContract } from '../../suites/presence-store-groups.ts';
import { memorySubject, type SubjectCase } from '../../support/presence-subject.ts';

const MEMORY: readonly SubjectCase[] = [['memory', memorySubject]];

presenceStoreContract(MEMORY);
presenceStoreStatementsContract(MEMORY);
presenceStoreEndsContract(MEMORY);
presenceStoreBlocksContract(MEMORY);
presenceStoreGroupsContract(MEMORY);
