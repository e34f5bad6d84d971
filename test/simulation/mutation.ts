/** What a mutant does wrong; each one must be caught. Empty for the product as it is. */
export interface Mutation {
  readonly dropsDuties?: boolean;
  readonly chargesWholeGaps?: boolean;
  readonly neverYoung?: boolean;
  readonly neverRestores?: boolean;
  readonly forgetsHighestEpoch?: boolean;
  readonly lossesToldOnce?: boolean;
  readonly takeOverTellsNobody?: boolean;
  readonly ignoresLosses?: boolean;
  readonly ignoresRev?: boolean;
  readonly repeatsAreNew?: boolean;
  readonly restatesWhatEnded?: boolean;
  readonly endIgnoresEpoch?: boolean;
  readonly strictEnd?: boolean;
  readonly untilIsKept?: boolean;
  readonly reapsWithoutGrace?: boolean;
  readonly reapIgnoresDeadlines?: boolean;
  readonly neverReaps?: boolean;
  readonly ignoresLeases?: boolean;
  readonly ignoresRunId?: boolean;
  /** SQL. */
  readonly settleLosesRows?: boolean;
  readonly settleLastWins?: boolean;
  readonly lookupForgets?: boolean;
  readonly opensOverwrite?: boolean;
}
